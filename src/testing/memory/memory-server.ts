import { staleToken } from '../../core/sqlstate.ts';
import { topicOf } from '../../lease/resource.ts';
import type { Resource } from '../../sql/lease.ts';
import { revokedMessage } from '../../sql/notification.ts';
import type { Statement } from '../../sql/statement.ts';
import { inspectHolders, inspectLeases, leaders } from './inspecting.ts';
import type { LeaseRow } from './lease-rows.ts';
import { type Grant, LeaseTable, type MemoryAsk, Refused } from './lease-table.ts';
import { answer, at, list, milliseconds, type Reply, texts, type Value } from './values.ts';

type Run = (...values: Value[]) => Reply;

/**
 * The database as the protocol sees it: the functions of `sql/` that leases need, each of them whole at one moment of
 * the server's clock.
 */
export class MemoryServer {
  readonly leases: LeaseTable;
  readonly #now: () => number;
  readonly #tell: (message: string) => void;
  /** Of each holder what was revoked and it has not been told of. */
  readonly #revocations = new Map<string, Set<string>>();
  #made = 0;

  constructor(
    now: () => number,
    tell: (message: string) => void,
    granted: (grant: Grant) => void = () => {},
  ) {
    this.#now = now;
    this.#tell = tell;
    this.leases = new LeaseTable(now, (resources) => this.#wake(resources), granted);
  }

  /** Whether a statement is one that it knows. */
  knows({ name }: Statement): boolean {
    return Object.hasOwn(this.#functions, name);
  }

  run({ name, values }: Statement): Reply {
    const run = this.#functions[name];
    if (run === undefined)
      throw new Error(`no Postgres is there to run ${name}: the double has leases and locks only`);
    try {
      return run(...values);
    } catch (error) {
      if (error instanceof Refused) return { sqlState: error.sqlState };
      throw error;
    }
  }

  readonly #functions: Readonly<Record<string, Run>> = {
    holder_open: (ttl, application) => this.#open(milliseconds(ttl), String(application)),
    holder_beat: (id) => this.#beat(String(id)),
    holder_revoked: (id, told) => this.#revoked(String(id), JSON.parse(String(told))),
    holder_fence: (id) => {
      const holder = this.leases.rows.living(String(id));
      this.leases.check(String(id), holder?.epoch ?? 0);
      if (holder !== undefined) holder.epoch += 1;
      return answer(String(holder?.epoch));
    },
    holder_close: (id) => {
      this.leases.rows.holders.delete(String(id));
      this.#revocations.delete(String(id));
      return answer(null);
    },
    lease_acquire: (...values) => this.#acquire(...(values as [Value, Value, Value, ...Value[]])),
    lease_release: (id, tenants, names, slots, tokens, _early, awaited) => {
      let woken = awaited === true;
      this.#each([tenants, names, slots, tokens], (row) => {
        if (row.holder !== id) return false;
        row.holder = undefined;
        row.expires = undefined;
        if (row.wanted) this.#wake([row.resource]);
        woken ||= row.wanted;
        return true;
      });
      return { rows: [{ unflushed: woken ? 't' : 'f' }] };
    },
    flush: () => answer(''),
    lease_renew: (id, term, ...columns) =>
      this.#each(columns, (row) => {
        if (row.holder !== id || row.revoked || (row.expires ?? 0) <= this.#now()) return false;
        row.expires = this.#now() + milliseconds(term);
        return true;
      }),
    lease_withdraw: (nonces) => {
      const { rows } = this.leases;
      const gone = rows.tickets.filter(({ nonce }) => texts(nonces).includes(nonce));
      rows.tickets = rows.tickets.filter((ticket) => !gone.includes(ticket));
      this.#wake(gone.map(({ resource }) => resource));
      return answer(null);
    },
    lease_revoke: (tenant, name, grace, token) =>
      this.#revoke({ tenant: String(tenant), name: String(name) }, milliseconds(grace), token),
    lease_hand_over: (id, term, tenants, names, slots, tokens, secret) => {
      const rows = this.#named([tenants, names, slots, tokens]);
      const keeper = keeperOf(secret);
      const own = (row: LeaseRow): boolean =>
        row.holder === id && !row.revoked && this.leases.rows.isHeld(row);
      if (!rows.every((row) => row !== undefined && (row.holder === keeper || own(row)))) return answer('f');
      for (const row of rows) {
        if (row === undefined || row.holder !== id) continue;
        row.holder = keeper;
        row.expires = this.#now() + milliseconds(term);
      }
      return answer('t');
    },
    lease_resume: (...values) => this.#resume(...values),
    leaders: (tenants, names) => leaders(this.leases.rows, texts(tenants), texts(names)),
    begin: () => ({ rows: [] }),
    commit: () => ({ rows: [] }),
    // All of them at once: nobody is kept waiting by what is in the same process.
    inspect_leases: () => inspectLeases(this.leases.rows),
    inspect_leases_next: () => ({ rows: [] }),
    inspect_holders: () => inspectHolders(this.leases.rows, this.#now()),
    notify: (_, message) => {
      this.#tell(String(message));
      return answer(null);
    },
  };

  #open(ttl: number, application: string): Reply {
    this.#made += 1;
    const id = `holder ${this.#made}`;
    const now = this.#now();
    this.leases.rows.holders.set(id, {
      id,
      ttl,
      application,
      opened: now,
      beat: now,
      expires: now + ttl,
      epoch: 0,
    });
    return answer(id);
  }

  #beat(id: string): Reply {
    const holder = this.leases.rows.living(id);
    const now = this.#now();
    if (holder !== undefined) Object.assign(holder, { beat: now, expires: now + holder.ttl });
    const revoked = (this.#revocations.get(id)?.size ?? 0) > 0 ? 't' : 'f';
    return { rows: [{ alive: holder === undefined ? 'f' : 't', revoked }] };
  }

  #revoked(id: string, told: readonly unknown[]): Reply {
    const taken = this.#revocations.get(id) ?? new Set();
    for (const one of told) taken.delete(JSON.stringify(one));
    return answer(`[${[...taken].join()}]`);
  }

  #acquire(id: Value, epoch: Value, term: Value, ...columns: Value[]): Reply {
    const [tenants, names, nonces] = columns.map(texts);
    const [, , , wants, metadata, limits, totals, shared, fair] = columns;
    const waits = texts(wants);
    const granted: [number, LeaseRow, LeaseRow | undefined][] = [];
    const held: [number, number | undefined][] = [];
    const queued: number[] = [];
    for (const [place, name] of (names ?? []).entries()) {
      const ask: MemoryAsk = {
        resource: { tenant: tenants?.[place] ?? '', name },
        nonce: nonces?.[place] ?? '',
        waits: waits[place] === 'true',
        metadata: at<string>(metadata, place),
        slots: at<number>(limits, place) ?? 1,
        total: at<number>(totals, place),
        shared: at<boolean>(shared, place) ?? false,
        fair: at<boolean>(fair, place) ?? false,
      };
      const lasts = term === null ? undefined : milliseconds(term);
      const taken = this.leases.take(String(id), Number(epoch), lasts, ask);
      if ('rows' in taken) {
        granted.push([place + 1, ...taken.rows]);
        continue;
      }
      if (taken.heldFor !== undefined) held.push([place + 1, taken.heldFor]);
      if (taken.queued) queued.push(place + 1);
    }
    return {
      rows: [
        {
          granted: list(granted.map(([place]) => place)),
          tokens: list(granted.map(([, row]) => row.token)),
          slots: list(granted.map(([, row]) => row.slot)),
          total_slots: list(granted.map(([, , total]) => total?.slot)),
          total_tokens: list(granted.map(([, , total]) => total?.token)),
          held: list(held.map(([place]) => place)),
          held_for: list(held.map(([, left]) => left)),
          queued: list(queued),
        },
      ],
    };
  }

  #resume(...values: Value[]): Reply {
    const [id, epoch, term, tenants, names, slots, tokens, secret, nonce] = values;
    this.leases.check(String(id), Number(epoch));
    const columns = [tenants, names, slots];
    const all = this.#named(columns).filter((row) => row !== undefined);
    const before = all.filter((row) => row.holder === id && row.nonce === nonce).map(({ token }) => token);
    if (before.length > 0) return answer(list(before));
    const rows = this.#named([...columns, tokens]).filter((row) => row !== undefined);
    const kept = (row: LeaseRow): boolean =>
      row.holder === keeperOf(secret) && !row.revoked && (row.expires ?? 0) > this.#now();
    if (rows.length < texts(names).length || !rows.every(kept)) throw new Refused(staleToken);
    if (rows.some((row) => row.guards.size > 0)) return answer(null);
    const lasts = term === null ? undefined : milliseconds(term);
    for (const row of rows) this.leases.grant(String(id), lasts, row, { ...row, nonce: String(nonce) });
    return answer(list(rows.map(({ token }) => token)));
  }

  #revoke(resource: Resource, grace: number, only: Value): Reply {
    const { rows } = this.leases;
    const taken = rows
      .of(resource)
      .filter((row) => row.holder !== undefined && (only == null || row.token === BigInt(String(only))));
    for (const row of taken) {
      const holder = row.holder ?? '';
      const told = JSON.stringify([resource.tenant, resource.name, row.slot, String(row.token)]);
      if (rows.holders.has(holder))
        this.#revocations.set(holder, (this.#revocations.get(holder) ?? new Set()).add(told));
      row.revoked = true;
      row.expires = grace > 0 ? Math.min(row.expires ?? Infinity, this.#now() + grace) : undefined;
      if (grace <= 0) row.holder = undefined;
    }
    if (taken.length > 0) {
      this.#wake([resource]);
      this.#tell(revokedMessage);
    }
    return answer(list(taken.map(({ token }) => token)));
  }

  /** The rows that columns of tenants, names, slots and perhaps tokens name, where they are there with that token. */
  #named([tenants, names, slots, tokens]: readonly Value[]): (LeaseRow | undefined)[] {
    const wanted = texts(tokens);
    return texts(names).map((name, place) => {
      const resource = { tenant: texts(tenants)[place] ?? '', name };
      const row = this.leases.rows.find(resource, Number(texts(slots)[place]));
      return tokens === undefined || row?.token === BigInt(wanted[place] ?? -1) ? row : undefined;
    });
  }

  #each(columns: readonly Value[], change: (row: LeaseRow) => boolean): Reply {
    return answer(
      list(
        this.#named(columns).flatMap((row, place) => (row !== undefined && change(row) ? [place + 1] : [])),
      ),
    );
  }

  #wake(resources: readonly Resource[]): void {
    if (resources.length > 0) this.#tell(resources.map(topicOf).join());
  }
}

const keeperOf = (secret: Value): string => `kept for whoever knows ${secret}`;
