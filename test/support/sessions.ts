import type { TestDatabase } from './database.ts';
import type { Link } from './proxy.ts';
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

/** Waits until the server has ended the session of this connection through a proxy, and with it what it ran. */
export async function sessionEnded(database: TestDatabase, { pid }: Link): Promise<void> {
  if (pid === undefined) throw new Error('the session was never open');
  await until(`the session of process ${pid} has ended`, async () => {
    const sessions = await database.query('select from pg_stat_activity where pid = $1', [pid]);
    return sessions.length === 0;
  });
}
