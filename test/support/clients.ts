import pg from 'pg';
import type { TestDatabase } from './database.ts';

/** So many connections of their own, which end with the block that they were opened in. */
export async function connect(database: Pick<TestDatabase, 'url'>, count: number): Promise<Clients> {
  const clients = Array.from({ length: count }, () => new pg.Client({ connectionString: database.url }));
  for (const client of clients) client.on('error', () => {});
  await Promise.all(clients.map((client) => client.connect()));
  const end = async (): Promise<void> => void (await Promise.all(clients.map((client) => client.end())));
  return Object.assign(clients, { [Symbol.asyncDispose]: end }) as unknown as Clients;
}

export type Clients = AsyncDisposable & readonly pg.Client[] & Record<0 | 1 | 2, pg.Client>;

/** The error that a statement fails with. */
export async function failure(work: Promise<unknown>): Promise<pg.DatabaseError> {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof Error) return outcome as pg.DatabaseError;
  throw new Error('expected a failure');
}

/** The keys of the advisory locks that this session holds. */
export async function heldKeys(client: pg.Client): Promise<number[]> {
  const { rows } = await client.query<{ key: string }>(
    `select (classid::int8 << 32 | objid::int8) as key from pg_locks
     where locktype = 'advisory' and pid = pg_backend_pid() and granted order by 1`,
  );
  return rows.map(({ key }) => Number(key));
}
