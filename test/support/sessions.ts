import type { TestDatabase } from './database.ts';
import { until } from './until.ts';

export interface Session {
  pid: number;
  query: string;
}

/** Waits until so many sessions of this database wait for a lock in a statement that mentions this, and gives them. */
export function blockedIn(database: TestDatabase, statement: string, count = 1): Promise<Session[]> {
  return until(`${count} blocked in ${statement}`, async () => {
    const sessions = await database.query<Session>(
      `select pid, query from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock' and query like '%' || $1 || '%'`,
      [statement],
    );
    return sessions.length >= count && sessions;
  });
}
