import pg from 'pg';

/** A pool of `pg`. */
export type Pool = pg.Pool;

/** One row of an answer. */
export type PoolRow = pg.QueryResultRow;

/** What a client of `pg` can do here. */
export type Client = pg.Client;

/** A connection for this work, closed at its end. */
export async function connected<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end();
  }
}

/** A connection that a test kills or leaves behind must fail that test by name, not end the process. */
export function openPool(url: string, application: string): Pool {
  const pool = new pg.Pool({ connectionString: url, application_name: application });
  pool.on('connect', (client) => client.on('error', () => {}));
  pool.on('error', () => {});
  return pool;
}

/** Connects once, which also proves that the server takes connections, and asks for the version. */
export function versionOf(url: string): Promise<string> {
  return connected(url, async (client) => {
    const { rows } = await client.query<{ server_version: string }>('show server_version');
    return rows.map((row) => row.server_version).join();
  });
}
