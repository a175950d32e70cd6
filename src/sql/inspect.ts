import { dateOf } from '../core/clock.ts';
import { identifier, type Row, type Statement } from './statement.ts';

/** A session that holds an advisory lock of this database, or waits for one. */
export interface LockRow {
  readonly hash: bigint;
  readonly mode: 'exclusive' | 'shared';
  readonly granted: boolean;
  readonly pid: number;
  readonly application: string;
  /** Milliseconds since it began to wait; undefined for who holds. */
  readonly waited: number | undefined;
  /**
   * The server processes that it waits for: ten at most of those that hold, and for a shared one the first who waits for
   * it alone and came before.
   */
  readonly blockedBy: readonly number[];
}

/**
 * Locks with one 64-bit key; those with two numbers of 32 bits are other people's. Who is in whose way is read off the
 * same look: pg_blocking_pids stops all lock traffic for each who waits, and names all the others in the queue, which for
 * a queue of a thousand took a tenth of a core at a look a second.
 */
export const advisoryLocks: Statement = {
  name: 'inspect_locks',
  text: `with l as materialized (
      select (classid::bigint << 32 | objid::bigint) as hash, mode, granted, pid, waitstart from pg_locks
      where locktype = 'advisory' and objsubid = 1
        and database = (select oid from pg_database where datname = current_database())),
    held as (
      select hash, (array_agg(pid))[1:10] as everybody,
        coalesce((array_agg(pid) filter (where mode = 'ExclusiveLock'))[1:10], '{}') as alone
      from l where granted group by hash),
    first as (
      select distinct on (hash) hash, pid, waitstart from l
      where not granted and mode = 'ExclusiveLock' order by hash, waitstart)
    select l.hash, l.mode, l.granted, l.pid, coalesce(a.application_name, '') as application,
      (extract(epoch from clock_timestamp() - l.waitstart) * 1000)::bigint as waited,
      case when l.granted then '{}'
        when l.mode = 'ExclusiveLock' then coalesce(h.everybody, '{}')::text
        else (coalesce(h.alone, '{}') || case when f.waitstart < l.waitstart then array[f.pid] else '{}' end)::text
        end as blocked_by
    from l left join held h on h.hash = l.hash left join first f on f.hash = l.hash
    left join pg_stat_activity a on a.pid = l.pid
    order by l.hash, l.granted desc, l.waitstart`,
  values: [],
};

export function readLock(row: Row): LockRow {
  return {
    hash: BigInt(row.hash ?? 0),
    mode: row.mode === 'ShareLock' ? 'shared' : 'exclusive',
    granted: row.granted === 't',
    pid: Number(row.pid),
    application: row.application ?? '',
    waited: row.waited == null ? undefined : Number(row.waited),
    blockedBy: (row.blocked_by ?? '{}').slice(1, -1).split(',').filter(Boolean).map(Number),
  };
}

/** A lease that is held now. */
export interface LeaseRow {
  /** `''` where the key was given without one. */
  readonly tenant: string;
  readonly name: string;
  readonly slot: number;
  readonly token: bigint;
  readonly mode: 'exclusive' | 'shared';
  /** Which process has it: the id of its holder, and what that calls itself. */
  readonly holder: string;
  readonly application: string;
  /** Rows of one list may share their dates. */
  readonly acquiredAt: Date;
  /** When it ends unless it is renewed. */
  readonly expiresAt: Date;
  /** An operator has taken it away: it ends at `expiresAt` whoever renews. */
  readonly revoked: boolean;
  readonly metadata: unknown;
}

/** What `LeaseReader` reads. */
export const leaseColumns = `tenant, name, slot, token, shared, holder_id as holder,
        coalesce(application, '') as application, revoked, metadata::text, ${epoch('acquired_at')}, ${epoch('expires_at')}`;

/**
 * The leases that are held, in the order of tenant, name and slot: looked for once, as of one moment, and fetched in
 * portions (`nextLeases`) in the same transaction. Pages of their own would each look through all of them: the view
 * compares clocks, so Postgres sorts what it gives, whatever index there is (7.5 s for 100,000 in 20 pages, 1.1 s so).
 */
export function heldLeases(schema: string): Statement {
  return {
    name: 'inspect_leases',
    text: `declare fencepost_leases no scroll cursor for select ${leaseColumns}
      from ${identifier(schema)}.leases where held order by tenant, name, slot`,
    values: [],
  };
}

export function nextLeases(count: number): Statement {
  return { name: 'inspect_leases_next', text: `fetch ${count} from fencepost_leases`, values: [] };
}

/** Reads rows of one list. What many of them have in common they share: a listing of 100,000 is half as large then. */
export class LeaseReader {
  #before: LeaseRow | undefined;
  /** Those of one statement were acquired at one time, mostly under one token, and are spread over the list. */
  readonly #grants: (Grant | undefined)[] = [];

  read(row: Row): LeaseRow {
    const before = this.#before;
    const holder = row.holder ?? '';
    const application = row.application ?? '';
    const tenant = row.tenant ?? '';
    const expires = Math.trunc(Number(row.expires_at));
    const { token, acquiredAt } = this.#grant(row.token ?? '0', Math.trunc(Number(row.acquired_at)));
    this.#before = {
      tenant: before?.tenant === tenant ? before.tenant : tenant,
      name: row.name ?? '',
      slot: Number(row.slot),
      token,
      mode: row.shared === 't' ? 'shared' : 'exclusive',
      holder: before?.holder === holder ? before.holder : holder,
      application: before?.application === application ? before.application : application,
      acquiredAt,
      expiresAt: before?.expiresAt.getTime() === expires ? before.expiresAt : dateOf(expires),
      revoked: row.revoked === 't',
      metadata: row.metadata == null ? undefined : JSON.parse(row.metadata),
    };
    return this.#before;
  }

  #grant(text: string, acquired: number): Grant {
    const slot = acquired % 1_024;
    const known = this.#grants[slot];
    if (known?.acquiredAt.getTime() === acquired && known.text === text) return known;
    const grant = { text, token: BigInt(text), acquiredAt: dateOf(acquired) };
    this.#grants[slot] = grant;
    return grant;
  }
}

export function readLeases(rows: readonly Row[], reader: LeaseReader = new LeaseReader()): LeaseRow[] {
  return rows.map((row) => reader.read(row));
}

interface Grant {
  readonly text: string;
  readonly token: bigint;
  readonly acquiredAt: Date;
}

/** A process that holds leases, or could. */
export interface HolderRow {
  readonly id: string;
  /** What it calls itself: host and process id. */
  readonly application: string;
  /** Milliseconds that it outlives its process. */
  readonly ttl: number;
  readonly openedAt: Date;
  /** Its last heartbeat. */
  readonly beatAt: Date;
  readonly expiresAt: Date;
  /** False once it has expired: it will not come back, and what it held is free. */
  readonly alive: boolean;
  /** How many leases it holds. */
  readonly held: number;
}

/** It counts the rows of the whole lease table: a few dozen milliseconds for 100,000. */
export const holders = (schema: string): Statement => ({
  name: 'inspect_holders',
  text: `select h.id, h.application, (extract(epoch from h.ttl) * 1000)::bigint as ttl, h.alive,
      ${epoch('h.opened_at')}, ${epoch('h.beat_at')}, ${epoch('h.expires_at')}, coalesce(l.held, 0) as held
    from ${identifier(schema)}.holders h
    left join (
      select holder_id, count(*) as held from ${identifier(schema)}.leases where held group by 1) l on l.holder_id = h.id
    order by h.opened_at, h.id`,
  values: [],
});

export function readHolder(row: Row): HolderRow {
  return {
    id: row.id ?? '',
    application: row.application ?? '',
    ttl: Number(row.ttl),
    openedAt: dateOf(Number(row.opened_at)),
    beatAt: dateOf(Number(row.beat_at)),
    expiresAt: dateOf(Number(row.expires_at)),
    alive: row.alive === 't',
    held: Number(row.held),
  };
}

/** A time in milliseconds since 1970, under the name of its column: what a session shows depends on its settings. */
function epoch(column: string): string {
  return `(extract(epoch from ${column}) * 1000)::float8 as ${column.replace(/^\w\./, '')}`;
}
