import type { Row, Statement } from './statement.ts';

/** A session that holds an advisory lock of this database, or waits for one. */
export interface LockRow {
  readonly hash: bigint;
  readonly mode: 'exclusive' | 'shared';
  readonly granted: boolean;
  readonly pid: number;
  readonly application: string;
  /** Milliseconds since it began to wait; undefined for who holds. */
  readonly waited: number | undefined;
  /** The server processes that it waits for. */
  readonly blockedBy: readonly number[];
}

/** Locks with one 64-bit key; those with two numbers of 32 bits are other people's. */
export const advisoryLocks: Statement = {
  name: 'inspect_locks',
  text: `select (l.classid::bigint << 32 | l.objid::bigint) as hash, l.mode, l.granted, l.pid,
      coalesce(a.application_name, '') as application,
      (extract(epoch from clock_timestamp() - l.waitstart) * 1000)::bigint as waited,
      case when l.granted then '{}' else pg_blocking_pids(l.pid)::text end as blocked_by
    from pg_locks l left join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'advisory' and l.objsubid = 1
      and l.database = (select oid from pg_database where datname = current_database())
    order by hash, l.granted desc, l.waitstart`,
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
