import { randomBytes } from 'node:crypto';
import { pause } from '../../core/abort.ts';
import { elapsed, systemClock } from '../../core/clock.ts';
import { boolean, text, validate, withDefault } from '../../core/options.ts';
import { identifier } from '../../sql/statement.ts';
import { type Client, connected, openPool, type Pool, type PoolRow } from './client.ts';

/** How long sessions that are just ending have until they count as left behind, in milliseconds. */
const patience = 2_000;
const poolName = 'test database pool';

/** What it takes to make test databases, in whatever process: plain JSON. */
export interface TestDatabases {
  /** Connection string of a role that may create databases. */
  readonly url: string;
  /** How the names of all databases of this run begin. */
  readonly prefix: string;
  /** The database that others are cloned from; nobody may connect to it. */
  readonly template: string;
}

/** How a test database is made. */
export interface TestDatabaseOptions {
  /** `true`: without what the template has in it. `false` by default. */
  readonly empty?: boolean | undefined;
}

/** A database for one test or one test file. */
export interface TestDatabase extends AsyncDisposable {
  readonly name: string;
  /** Connection string to it. */
  readonly url: string;
  /** The test's own pool, at most ten connections, opened when first used. */
  readonly pool: Pool;
  /** Runs a statement on `pool` and gives its rows. */
  query<Row extends PoolRow = PoolRow>(sql: string, values?: unknown[]): Promise<Row[]>;
  /** Ends the pool, drops the database, and throws when somebody left a session or a lock in it. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Creates a database for one test or one test file: a clone of the template, which takes a fraction of a second, or an
 * empty one. Its end throws when a session, a transaction or an advisory lock was left in it, and says which.
 *
 * @throws ArgumentError for wrong arguments, and what `pg` throws when the server cannot be asked
 *
 * @example
 * await using database = await createTestDatabase(inject('databases'));
 * await using fencepost = new Fencepost({ connection: database.url });
 */
export async function createTestDatabase(
  databases: TestDatabases,
  options?: TestDatabaseOptions,
): Promise<TestDatabase> {
  const { url, prefix, template } = validate('databases', databases, {
    url: text({ minBytes: 1, maxBytes: 4_096 }),
    prefix: text({ minBytes: 1, maxBytes: 40 }),
    template: text({ minBytes: 1, maxBytes: 63 }),
  });
  const { empty } = validate('options', options, { empty: withDefault(boolean(), false) });
  const name = `${prefix}_${randomBytes(4).toString('hex')}`;
  await connected(url, (admin) =>
    admin.query(`create database ${identifier(name)} template ${identifier(empty ? 'template0' : template)}`),
  );
  const pool = openPool(databaseUrl(url, name), poolName);
  return {
    name,
    url: databaseUrl(url, name),
    pool,
    query: async <Row extends PoolRow>(sql: string, values?: unknown[]) =>
      (await pool.query<Row>(sql, values)).rows,
    async [Symbol.asyncDispose]() {
      const left = await connected(url, async (admin) => {
        const leftInPool = (await sessions(admin, name)).filter(isUnfinishedPoolSession);
        // Not awaited: it never ends when a test kept a client, and that session is then found below.
        if (!pool.ending) void pool.end();
        const leftOpen = await remainingSessions(admin, name);
        await admin.query(`drop database if exists ${identifier(name)} with (force)`);
        const known = new Set(leftOpen.map(({ pid }) => pid));
        return [...leftInPool.filter(({ pid }) => !known.has(pid)), ...leftOpen];
      });
      if (left.length > 0) throw new Error(`Left behind in ${name}:\n${left.map(describe).join('\n')}`);
    },
  };
}

/** The same server, another database. */
export function databaseUrl(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}

interface SessionRow {
  pid: number;
  application_name: string;
  state: string | null;
  query: string | null;
  locks: string[];
}

/** Polls, because the server ends a session only some time after its client has gone. */
async function remainingSessions(admin: Client, database: string): Promise<SessionRow[]> {
  const started = systemClock.now();
  for (;;) {
    const found = await sessions(admin, database);
    if (found.length === 0 || elapsed(started, systemClock.now()) > patience) return found;
    await pause(systemClock, 10);
  }
}

/** The one-key and the two-key form of advisory locks are told apart by `objsubid` (1 and 2). */
async function sessions(admin: Client, database: string): Promise<SessionRow[]> {
  const { rows } = await admin.query<SessionRow>(
    `select pid, application_name, state, query, array(
       select case objsubid when 1 then ((classid::bigint << 32) | objid::bigint)::text
                   else format('(%s, %s)', classid, objid) end || case when granted then '' else ' (waiting)' end
       from pg_locks where pg_locks.pid = activity.pid and locktype = 'advisory'
       order by objsubid, classid, objid) as locks
     from pg_stat_activity activity
     where datname = $1 and coalesce(backend_type, 'client backend') in ('client backend', 'walsender')
     order by pid`,
    [database],
  );
  return rows;
}

/** Ending the pool would hide what an idle connection of it still holds. */
function isUnfinishedPoolSession({ application_name, state, locks }: SessionRow): boolean {
  return (
    application_name === poolName && (locks.length > 0 || (state ?? '').startsWith('idle in transaction'))
  );
}

function describe({ pid, application_name, state, query, locks }: SessionRow): string {
  const facts = [state ?? 'state unknown'];
  if (locks.length > 0) facts.push(`advisory locks ${locks.join(', ')}`);
  facts.push(`last query: ${query ?? 'unknown'}`);
  return `- session ${pid} (${application_name || 'no application_name'}): ${facts.join('; ')}`;
}
