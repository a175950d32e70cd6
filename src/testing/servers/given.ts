import { ArgumentError } from '../../core/errors.ts';
import { identifier } from '../../sql/statement.ts';
import { type Client, connected, versionOf } from './client.ts';
import { type Request, type Running, type Server, supervise } from './supervise.ts';

/** Uses a server that runs anyway. `stop()` drops the databases and roles of this run and leaves the server alone. */
export async function useGiven(url: string): Promise<Server> {
  if (!URL.canParse(url))
    throw new ArgumentError('FENCEPOST_TEST_URL', 'postgresql://user@host/database', url);
  return supervise('given', {}, url);
}

/** The supervisor's side of {@link useGiven}. */
export async function runGiven({ url = '', prefix }: Request): Promise<Running> {
  return {
    url,
    description: `PostgreSQL ${await versionOf(url)} at ${new URL(url).host}`,
    stop: () => connected(url, (client) => dropAll(client, prefix)),
  };
}

/** Roles come second: one that owns something cannot be dropped. */
async function dropAll(client: Client, prefix: string): Promise<void> {
  const found = await client.query<{ kind: string; name: string }>(
    `select 'database' as kind, datname as name from pg_database where starts_with(datname, $1)
     union all select 'role', rolname from pg_roles where starts_with(rolname, $1) order by 1`,
    [prefix],
  );
  for (const { kind, name } of found.rows) {
    const object = identifier(name);
    await client.query(kind === 'role' ? `drop role ${object}` : `drop database ${object} with (force)`);
  }
}
