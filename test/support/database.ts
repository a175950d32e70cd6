import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { inject } from 'vitest';

/** How long sessions that are just ending have until they count as leaked. */
const PATIENCE_MS = 2_000;
const POOL_NAME = 'test database pool';

export interface TestDatabase extends AsyncDisposable {
  readonly name: string;
  readonly url: string;
  /** The test's own pool, at most ten connections, opened when first used. */
  readonly pool: pg.Pool;
  /** Runs a statement on {@link pool} and gives its rows. */
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<Row[]>;
  /** Ends the pool, drops the database, and throws when somebody left a session or a lock in it. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Creates a database for one test or one test file: a clone of the migrated template, or an empty one with
 * `template: false`.
 *
 * ```ts
 * await using database = await createDatabase();
 * await using fencepost = new Fencepost({ connection: database.url });
 * ```
 */
export async function createDatabase({
  template = true,
}: {
  template?: boolean;
} = {}): Promise<TestDatabase> {
  const name = `${inject('prefix')}_${randomBytes(4).toString('hex')}`;
  const source = template ? inject('template') : 'template0';
  await asAdmin((admin) =>
    admin.query(`create database ${pg.escapeIdentifier(name)} template ${pg.escapeIdentifier(source)}`),
  );

  const url = new URL(inject('adminUrl'));
  url.pathname = `/${name}`;
  const pool = new pg.Pool({ connectionString: url.href, application_name: POOL_NAME });
  // A connection that a test kills or leaves behind must fail that test by name, not end the process.
  pool.on('connect', (client) => client.on('error', () => {}));
  pool.on('error', () => {});

  return {
    name,
    url: url.href,
    pool,
    query: async (sql, values) => (await pool.query(sql, values)).rows,
    async [Symbol.asyncDispose]() {
      const left = await asAdmin(async (admin) => {
        const leftInPool = (await sessions(admin, name)).filter(isUnfinishedPoolSession);
        // Not awaited: it never ends when a test kept a client, and that session is then found below.
        if (!pool.ending) void pool.end();
        const leftOpen = await remainingSessions(admin, name);
        await admin.query(`drop database if exists ${pg.escapeIdentifier(name)} with (force)`);
        const known = new Set(leftOpen.map(({ pid }) => pid));
        return [...leftInPool.filter(({ pid }) => !known.has(pid)), ...leftOpen];
      });
      if (left.length > 0) throw new Error(`Left behind in ${name}:\n${left.map(describe).join('\n')}`);
    },
  };
}

interface Session {
  pid: number;
  application_name: string;
  state: string | null;
  query: string | null;
  locks: string[];
}

/** Polls, because the server ends a session only some time after its client has gone. */
async function remainingSessions(admin: pg.Client, database: string): Promise<Session[]> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = await sessions(admin, database);
    if (found.length === 0 || performance.now() > deadline) return found;
    await delay(10);
  }
}

/** The one-key and the two-key form of advisory locks are told apart by `objsubid` (1 and 2). */
async function sessions(admin: pg.Client, database: string): Promise<Session[]> {
  const { rows } = await admin.query<Session>(
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
function isUnfinishedPoolSession({ application_name, state, locks }: Session): boolean {
  return (
    application_name === POOL_NAME && (locks.length > 0 || (state ?? '').startsWith('idle in transaction'))
  );
}

function describe({ pid, application_name, state, query, locks }: Session): string {
  const facts = [state ?? 'state unknown'];
  if (locks.length > 0) facts.push(`advisory locks ${locks.join(', ')}`);
  facts.push(`last query: ${query ?? 'unknown'}`);
  return `- session ${pid} (${application_name || 'no application_name'}): ${facts.join('; ')}`;
}

async function asAdmin<T>(work: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ connectionString: inject('adminUrl') });
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.end();
  }
}
