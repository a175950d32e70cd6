import { holderExpired, holderFenced, staleToken } from '../../core/sqlstate.ts';
import type { Resource } from '../../sql/lease.ts';
import { totalOf } from '../../sql/lease.ts';
import { type LeaseRow, LeaseRows } from './lease-rows.ts';

/** One call that wants a lease. */
export interface MemoryAsk {
  readonly resource: Resource;
  readonly nonce: string;
  readonly waits: boolean;
  readonly metadata: string | undefined;
  readonly slots: number;
  readonly total: number | undefined;
  readonly shared: boolean;
  readonly fair: boolean;
}

/** A grant, as it was made. */
export interface Grant {
  readonly name: string;
  readonly token: bigint;
  readonly nonce: string;
  readonly holder: string;
  /** It has an expiry of its own. */
  readonly fixed: boolean;
}

/** What one ask comes to: its rows, or how many milliseconds the first of those in its way has left. */
export type Taken =
  | { readonly rows: readonly [LeaseRow, LeaseRow | undefined] }
  | { readonly heldFor: number | undefined; readonly queued: boolean };

/** Fails a statement as the server would. */
export class Refused extends Error {
  readonly sqlState: string;

  constructor(sqlState: string) {
    super(sqlState);
    this.sqlState = sqlState;
  }
}

/** Who may have which lease: the rules of `sql/lease_acquire.sql` and what it calls, each call whole at one moment. */
export class LeaseTable {
  readonly rows: LeaseRows;
  readonly #now: () => number;
  readonly #wake: (resources: readonly Resource[]) => void;
  readonly #granted: (grant: Grant) => void;
  #token = 0n;

  constructor(
    now: () => number,
    wake: (resources: readonly Resource[]) => void,
    granted: (grant: Grant) => void,
  ) {
    this.rows = new LeaseRows(now);
    this.#now = now;
    this.#wake = wake;
    this.#granted = granted;
  }

  take(holder: string, epoch: number, term: number | undefined, ask: MemoryAsk): Taken {
    const { rows } = this;
    const { resource, nonce, slots, total, shared, fair } = ask;
    const granted = (of: Resource): LeaseRow | undefined =>
      rows.of(of).find((row) => row.holder === holder && row.nonce === nonce);
    const special = slots > 1 || total !== undefined || shared || fair || rows.isCrowded(resource);
    const mine = granted(resource);
    // Asked before: the answer was lost on its way.
    if (mine !== undefined && (special || rows.isHeld(mine)))
      return { rows: [mine, total === undefined ? undefined : granted(totalOf(resource))] };
    if (special) this.check(holder, epoch);
    if (shared) rows.crowd(resource);
    const queue = special ? rows.waiting(resource) : [];
    const own = queue.findIndex((ticket) => ticket.nonce === nonce);
    const ahead = (own === -1 ? queue : queue.slice(0, own)).filter((ticket) => !(shared && ticket.shared));
    const room = slots - rows.of(resource).filter((row) => rows.isHeld(row)).length;
    const turn = ahead.length === 0 || (slots > 1 && room > ahead.length);
    const row = turn ? this.#pick(resource, slots, shared) : undefined;
    const over =
      row === undefined || total === undefined ? undefined : this.#pick(totalOf(resource), total, false);
    const full = row !== undefined && total !== undefined && over === undefined;
    if (row === undefined || full) {
      const inTheWay = full ? totalOf(resource) : resource;
      if (ask.waits) this.#wait(holder, ask, inTheWay, own !== -1);
      const queued = rows.tickets.some((ticket) => ticket.nonce === nonce);
      return { heldFor: this.#heldFor(inTheWay, ahead), queued };
    }
    this.check(holder, epoch);
    rows.tickets = rows.tickets.filter((ticket) => ticket.nonce !== nonce);
    const more = rows.waiting(resource).length > 0;
    this.grant(holder, term, row, { ...ask, wanted: more });
    if (over !== undefined) this.grant(holder, term, over, { ...ask, shared: false, wanted: false });
    if (more && (shared || slots > 1)) this.#wake([resource]);
    return { rows: [row, over] };
  }

  /** Throws when the holder is dead, or has moved on since the call was made. */
  check(id: string, epoch: number): void {
    const holder = this.rows.living(id);
    if (holder === undefined) throw new Refused(holderExpired);
    if (holder.epoch !== epoch) throw new Refused(holderFenced);
  }

  grant(
    holder: string,
    term: number | undefined,
    row: LeaseRow,
    given: Pick<MemoryAsk, 'nonce' | 'metadata' | 'shared'> & { readonly wanted: boolean },
  ): void {
    // Whoever had it is dead for good.
    if (row.holder !== undefined && row.expires === undefined && row.holder !== holder)
      this.rows.holders.delete(row.holder);
    this.#token += 1n;
    const { nonce, metadata, shared, wanted } = given;
    const acquired = this.#now();
    const expires = term === undefined ? undefined : acquired + term;
    Object.assign(row, { token: this.#token, holder, nonce, metadata, shared, wanted, acquired, expires });
    row.revoked = false;
    this.#granted({ name: row.resource.name, token: row.token, nonce, holder, fixed: term !== undefined });
  }

  /** A row that can be granted now: of all that are taken there are fewer than the limit, readers apart. */
  #pick(resource: Resource, limit: number, shared: boolean): LeaseRow | undefined {
    const { rows } = this;
    const taken = rows.of(resource).filter((row) => rows.isTaken(row));
    const blocked = shared ? taken.some((row) => row.slot === 0 || !row.shared) : taken.length >= limit;
    if (blocked) return undefined;
    // The row of slot 0 is a writer's.
    let slot = shared ? 1 : 0;
    while (taken.some((row) => row.slot === slot)) slot += 1;
    if (slot > 0) rows.crowd(resource);
    return shared || slot < limit ? rows.row(resource, slot) : undefined;
  }

  #wait(holder: string, ask: MemoryAsk, inTheWay: Resource, queued: boolean): void {
    const { rows } = this;
    const { resource, nonce, shared, fair } = ask;
    const readers = rows.of(resource).some((row) => row.slot > 0 && row.shared && row.holder !== undefined);
    if (!queued && (fair || shared || readers)) {
      rows.tickets.push({ resource, holder, nonce, shared });
    }
    for (const row of rows.of(inTheWay)) if (row.holder !== undefined) row.wanted = true;
  }

  #heldFor(resource: Resource, ahead: readonly { readonly holder: string }[]): number | undefined {
    const { rows } = this;
    const held = rows.of(resource).filter((row) => row.holder !== undefined);
    const until = [
      ...held.map((row) => rows.expiryOf(row)),
      ...ahead.map(({ holder }) => rows.holders.get(holder)?.expires ?? 0),
    ];
    return until.length === 0 ? undefined : Math.ceil(Math.min(...until) - this.#now());
  }

  /** The row that this token is current for, as a guard sees it. */
  guarded(resource: Resource, slot: number, token: bigint): LeaseRow {
    const row = this.rows.find(resource, slot);
    const over = row?.revoked === true && (row.expires ?? 0) <= this.#now();
    if (row?.token !== token || row.holder === undefined || over) throw new Refused(staleToken);
    return row;
  }
}
