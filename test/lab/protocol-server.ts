import pg from 'pg';
import type { Row, Statement } from '../../src/sql/statement.ts';

/** What the server answers a statement with, or the SQLSTATE that it fails with. */
export type Reply = { readonly rows: readonly Row[] } | { readonly sqlState: string };

interface HolderRow {
  readonly ttl: number;
  expires: number;
  epoch: number;
}

interface LeaseRow {
  token: bigint;
  holder: string | undefined;
  nonce: string | undefined;
  /** A fixed term; undefined: as long as the holder lives. */
  expires: number | undefined;
  wanted: boolean;
}

export interface Grant {
  readonly name: string;
  readonly token: bigint;
  readonly nonce: string;
  readonly holder: string;
  /** It has an expiry of its own. */
  readonly fixed: boolean;
}

/**
 * The database as the protocol sees it: the functions of `sql/` that exclusive leases need, each of them whole at one
 * moment of the server's clock.
 */
export class ProtocolServer {
  readonly #now: () => number;
  readonly #holders = new Map<string, HolderRow>();
  readonly #leases = new Map<string, LeaseRow>();
  readonly #tell: (topic: string) => void;
  #made = 0;
  #token = 0n;
  readonly grants: Grant[] = [];
  /** Writes that were accepted: what the guard let through. */
  readonly writes: { readonly key: string; readonly slot: number; readonly token: bigint }[] = [];
  refused = 0;

  constructor(now: () => number, tell: (name: string) => void) {
    this.#now = now;
    this.#tell = tell;
  }

  run({ name, values }: Statement): Reply {
    const functions: Record<string, (...values: never[]) => Reply> = {
      holder_open: (ttl: string) => this.#open(milliseconds(ttl)),
      holder_beat: (id: string) => this.#beat(id),
      holder_fence: (id: string) => this.#fence(id),
      holder_close: (id: string) => this.#close(id),
      lease_acquire: (...given: Parameters<ProtocolServer['acquire']>) => this.acquire(...given),
      lease_release: (id: string, _: string[], names: string[], __: number[], tokens: string[]) => {
        let woken = false;
        this.#each(names, (lease, index) => {
          if (lease.holder !== id || lease.token !== BigInt(tokens[index] as string)) return false;
          lease.holder = undefined;
          lease.expires = undefined;
          if (lease.wanted) this.#tell(names[index] as string);
          woken ||= lease.wanted;
          return true;
        });
        return { rows: [{ unflushed: woken ? 't' : 'f' }] };
      },
      flush: () => answer(''),
      lease_renew: (id: string, term: string, _: string[], names: string[], __: number[], tokens: string[]) =>
        this.#each(names, (lease, index) => {
          const own = lease.holder === id && lease.token === BigInt(tokens[index] as string);
          if (!own || (lease.expires ?? 0) <= this.#now()) return false;
          lease.expires = this.#now() + milliseconds(term);
          return true;
        }),
      lease_withdraw: () => answer('{}'),
    };
    const run = functions[name];
    if (run === undefined) throw new Error(`the model of the server has no ${name}`);
    return run(...(values.map(plain) as never[]));
  }

  /** A transaction that writes under a lease; `guard: false`: without looking whether it is still the holder's. */
  write(name: string, token: bigint, guard: boolean): boolean {
    const lease = this.#leases.get(name);
    const current = lease?.token === token && lease.holder !== undefined;
    if (guard && !current) this.refused += 1;
    else this.writes.push({ key: name, slot: 0, token });
    return !guard || current;
  }

  /** The names of the leases that somebody holds now. */
  get held(): string[] {
    return [...this.#leases].filter(([, lease]) => !this.#isFree(lease)).map(([name]) => name);
  }

  #open(ttl: number): Reply {
    this.#made += 1;
    const id = `holder ${this.#made}`;
    this.#holders.set(id, { ttl, expires: this.#now() + ttl, epoch: 0 });
    return answer(id);
  }

  #beat(id: string): Reply {
    const holder = this.#living(id);
    if (holder !== undefined) holder.expires = this.#now() + holder.ttl;
    return { rows: [{ alive: holder === undefined ? 'f' : 't', revoked: 'f' }] };
  }

  #fence(id: string): Reply {
    const holder = this.#living(id);
    if (holder === undefined) return { sqlState: 'FP002' };
    holder.epoch += 1;
    return answer(String(holder.epoch));
  }

  #close(id: string): Reply {
    this.#holders.delete(id);
    return answer(null);
  }

  acquire(
    id: string,
    epoch: number,
    term: string | null,
    _: readonly string[],
    names: readonly string[],
    nonces: readonly string[],
    wants: readonly boolean[] | null,
  ): Reply {
    const granted: [number, bigint][] = [];
    const held: [number, number][] = [];
    for (const [index, name] of names.entries()) {
      const nonce = nonces[index] as string;
      const lease: LeaseRow = this.#leases.get(name) ?? {
        token: 0n,
        holder: undefined,
        nonce: undefined,
        expires: undefined,
        wanted: false,
      };
      this.#leases.set(name, lease);
      if (this.#isFree(lease)) {
        const holder = this.#living(id);
        if (holder === undefined) return { sqlState: 'FP002' };
        if (holder.epoch !== epoch) return { sqlState: 'FP003' };
        // Whoever had it is dead for good.
        if (lease.holder !== undefined && lease.expires === undefined) this.#holders.delete(lease.holder);
        this.#token += 1n;
        const expires = term === null ? undefined : this.#now() + milliseconds(term);
        Object.assign(lease, { token: this.#token, holder: id, nonce, expires, wanted: false });
        this.grants.push({ name, token: lease.token, nonce, holder: id, fixed: term !== null });
        granted.push([index + 1, lease.token]);
      } else if (lease.holder === id && lease.nonce === nonce) granted.push([index + 1, lease.token]);
      else {
        lease.wanted ||= wants?.[index] === true;
        held.push([index + 1, Math.ceil(this.#expiryOf(lease) - this.#now())]);
      }
    }
    const list = (values: readonly unknown[]): string => `{${values.join(',')}}`;
    return {
      rows: [
        {
          granted: list(granted.map(([place]) => place)),
          tokens: list(granted.map(([, token]) => token)),
          slots: list(granted.map(() => 0)),
          total_slots: list(granted.map(() => 'NULL')),
          total_tokens: list(granted.map(() => 'NULL')),
          held: list(held.map(([place]) => place)),
          held_for: list(held.map(([, left]) => left)),
        },
      ],
    };
  }

  #each(names: readonly string[], change: (lease: LeaseRow, index: number) => boolean): Reply {
    const places = names.flatMap((name, index) => {
      const lease = this.#leases.get(name);
      return lease !== undefined && change(lease, index) ? [index + 1] : [];
    });
    return answer(`{${places.join(',')}}`);
  }

  #living(id: string): HolderRow | undefined {
    const holder = this.#holders.get(id);
    return holder !== undefined && holder.expires > this.#now() ? holder : undefined;
  }

  #expiryOf({ holder, expires }: LeaseRow): number {
    return expires ?? this.#holders.get(holder ?? '')?.expires ?? 0;
  }

  #isFree(lease: LeaseRow): boolean {
    return lease.holder === undefined || this.#expiryOf(lease) <= this.#now();
  }
}

const answer = (value: string | null): Reply => ({ rows: [{ answer: value }] });

/** Of an interval as our statements write it. */
const milliseconds = (interval: string): number => Number(interval.split(' ')[0]) * 1_000;

/** Of text[]. */
const texts: (array: string) => string[] = pg.types.getTypeParser(1009 as never);

/** A value as it was before it was written as an array for Postgres. */
function plain(value: unknown): unknown {
  if (typeof value !== 'string' || !value.startsWith('{')) return value;
  return texts(value).map((text) => (text === 'true' ? true : text === 'false' ? false : text));
}
