import type { TestDatabase } from './database.ts';
import { until } from './until.ts';

/** An advisory lock of a test database as the server knows it. */
export interface ServerLock {
  readonly pid: number;
  readonly key: string;
  readonly mode: 'ExclusiveLock' | 'ShareLock';
  readonly granted: boolean;
}

export function advisoryLocks(database: Pick<TestDatabase, 'query'>): Promise<ServerLock[]> {
  return database.query<ServerLock>(
    `select pid, (classid::int8 << 32 | objid::int8)::text as key, mode, granted from pg_locks
     where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
     order by granted desc, key, pid`,
  );
}

/** The server processes of the sessions that Fencepost opened in a test database, the oldest first. */
export async function sessionsOfFencepost(database: Pick<TestDatabase, 'query'>): Promise<number[]> {
  const rows = await database.query<{ pid: number }>(
    `select pid from pg_stat_activity where datname = current_database() and application_name = 'fencepost'
     order by backend_start, pid`,
  );
  return rows.map(({ pid }) => pid);
}

/** Waits until so many sessions stand in the queue of an advisory lock, and gives them. */
export function queued(database: Pick<TestDatabase, 'query'>, count = 1): Promise<ServerLock[]> {
  return until(`${count} in the queue of an advisory lock`, async () => {
    const waiting = (await advisoryLocks(database)).filter(({ granted }) => !granted);
    return waiting.length >= count && waiting;
  });
}
