import pg from 'pg';
import { type Request, type Running, type Server, supervise } from './supervise.ts';

/** Uses a server that runs anyway. `stop()` drops the databases and roles of this run and leaves the server alone. */
export async function useGiven(url: string): Promise<Server> {
  if (!URL.canParse(url)) throw new TypeError(`url: expected postgresql://user@host/database, got ${url}`);
  return supervise('given', {}, { url });
}

/** The supervisor's side of {@link useGiven}. */
export async function runGiven({ url = '', prefix }: Request): Promise<Running> {
  return {
    url,
    description: `PostgreSQL ${await versionOf(url)} at ${new URL(url).host}`,
    stop: () => connected(url, (client) => dropAll(client, prefix)),
  };
}

/** Connects once, which also proves that the server takes connections, and asks for the version. */
export function versionOf(url: string): Promise<string> {
  return connected(url, async (client) => {
    const { rows } = await client.query<{ server_version: string }>('show server_version');
    return rows.map((row) => row.server_version).join();
  });
}

/** Roles come second: one that owns something cannot be dropped. */
async function dropAll(client: pg.Client, prefix: string): Promise<void> {
  const found = await client.query<{ kind: string; name: string }>(
    `select 'database' as kind, datname as name from pg_database where starts_with(datname, $1)
     union all select 'role', rolname from pg_roles where starts_with(rolname, $1) order by 1`,
    [prefix],
  );
  for (const { kind, name } of found.rows) {
    const object = pg.escapeIdentifier(name);
    await client.query(kind === 'role' ? `drop role ${object}` : `drop database ${object} with (force)`);
  }
}

async function connected<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    return await work(client);
  } finally {
    await client.end();
  }
}
