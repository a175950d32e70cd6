import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MigrationBuilder, RunnerOption } from 'node-pg-migrate';
import { SchemaError } from './core/errors.ts';
import { type Check, integer, optional, text, validate, withDefault } from './core/options.ts';
import { databaseFailure } from './core/sqlstate.ts';
import { type ConnectionSource, connectionSource, type PlainClient, withClient } from './session/client.ts';
import { schemaName } from './session/database.ts';
import {
  begin,
  findSchema,
  grantAccess,
  lock,
  migrationTable,
  regrant,
  searchPath,
} from './sql/migration.ts';
import { identifier, rowOf } from './sql/statement.ts';

export { type Adoption, type AdoptOptions, adopt } from './session/adoption.ts';

/** Where to migrate. */
export interface MigrateOptions {
  /** As a role that owns the schema, or may create it. */
  readonly connection: ConnectionSource;
  /**
   * The schema, made when it is not there. It has to be for Fencepost alone: one that holds something else, or in which
   * everybody may create, is refused. `'fencepost'` by default.
   */
  readonly schema?: string | undefined;
  /**
   * A role that may call the functions and read the views afterwards, and touch no table. Roles that could before
   * keep it, and get what is new, without being named again.
   */
  readonly grant?: string | undefined;
}

/** Where and how far to go back. */
export interface RollbackOptions extends Omit<MigrateOptions, 'grant'> {
  /** How many migrations to undo, the newest first. 1 by default. */
  readonly count?: number | undefined;
}

/** How far a schema is. */
export interface MigrationStatus {
  /** What clients check: the version of the schema, or undefined while there is nothing in it. */
  readonly version: number | undefined;
  /** The names of the migrations that were applied, the oldest first, with those of newer releases of this package. */
  readonly applied: readonly string[];
  /** The names of those that `migrate` would apply, in its order. */
  readonly waiting: readonly string[];
}

const folder = fileURLToPath(new URL('../migrations', import.meta.url));
const where = { connection: connectionSource, schema: withDefault(schemaName, 'fencepost') };
const roleName: Check<string> = text({ minBytes: 1, maxBytes: 63 });

/**
 * Brings the schema up to date, in one transaction, and answers the names of the migrations that were applied: none
 * when it was. Processes that start at once wait for each other. Nothing outside of the schema is touched.
 *
 * @throws ArgumentError for a name that cannot be a schema's or a role's
 * @throws DatabaseError when the database cannot be reached or refuses; nothing was changed then
 * @throws SchemaError when other migrations were applied than this release of the package knows
 *
 * @example
 * await migrate({ connection: process.env.DATABASE_URL });
 */
export async function migrate(options: MigrateOptions): Promise<string[]> {
  const { grant, ...rest } = validate('options', options, { ...where, grant: optional(roleName) });
  return run({ ...rest, direction: 'up', count: Infinity, grant });
}

/**
 * Undoes the newest migrations, in one transaction, and answers their names: none when there was nothing to undo. What
 * their tables held is lost: every lease is free, the tokens begin anew, and roles have to be granted access again. So
 * do it only while nothing uses them. The empty schema stays.
 *
 * @throws the errors of `migrate`
 */
export async function rollback(options: RollbackOptions): Promise<string[]> {
  const rest = validate('options', options, { ...where, count: withDefault(integer({ min: 1 }), 1) });
  return run({ ...rest, direction: 'down', grant: undefined });
}

/**
 * Answers which migrations were applied and which wait. It changes nothing. The role has to be one that may migrate.
 *
 * @throws DatabaseError when the database cannot be reached or refuses
 */
export async function migrationStatus(
  options: Pick<MigrateOptions, 'connection' | 'schema'>,
): Promise<MigrationStatus> {
  const { connection, schema } = validate('options', options, where);
  const known = (await migrationFiles()).map(nameOf);
  return withClient(connection, async (client) => {
    try {
      const { rows: found } = await client.query(findSchema, [schema]);
      const applied = found[0]?.migrated === 't' ? await appliedIn(client, schema) : [];
      const { rows } =
        applied.length > 0 ? await client.query(rowOf(schema, 'about', []).text) : { rows: [] };
      return {
        version: rows[0] === undefined ? undefined : Number(rows[0].version),
        applied,
        waiting: known.filter((name) => !applied.includes(name)),
      };
    } catch (cause) {
      throw databaseFailure(`read the status of schema "${schema}"`, cause);
    }
  });
}

/**
 * The statements of `migrate` for a database without the schema, as one text for `psql`, for teams whose database
 * administrators apply changes themselves. `migrate` knows afterwards that they were applied.
 *
 * @throws ArgumentError for a name that cannot be a schema's or a role's
 *
 * @example
 * await writeFile('fencepost.sql', await migrationSql({ grant: 'app' })); // psql -v ON_ERROR_STOP=1 -f fencepost.sql
 */
export async function migrationSql(options: Omit<MigrateOptions, 'connection'> = {}): Promise<string> {
  const { schema, grant } = validate('options', options, { schema: where.schema, grant: optional(roleName) });
  const table = migrationTable(schema);
  const parts = [
    `${begin};`,
    `${lock(schema)};`,
    `create schema if not exists ${identifier(schema)};`,
    `${searchPath(schema)};`,
    `create table ${table} (id serial primary key, name varchar(255) not null, run_on timestamp not null);`,
  ];
  for (const path of await migrationFiles()) {
    parts.push((await readMigration(path)).up);
    parts.push(`insert into ${table} (name, run_on) values ('${nameOf(path)}', now());`);
  }
  if (grant !== undefined) parts.push(`${grantAccess(grant)};`);
  return `${[...parts, 'commit;'].join('\n\n')}\n`;
}

interface Run {
  readonly connection: ConnectionSource;
  readonly schema: string;
  readonly direction: 'up' | 'down';
  readonly count: number;
  readonly grant: string | undefined;
}

async function run({ connection, schema, direction, count, grant }: Run): Promise<string[]> {
  return withClient(connection, async (client) => {
    try {
      // One transaction for all of it: its lock is gone with it, and it works through every pooler.
      await client.query(begin);
      await client.query(lock(schema));
      const { rows } = await client.query(findSchema, [schema]);
      if (direction === 'down' && rows[0]?.migrated !== 't') return [];
      // Not IF NOT EXISTS: that asks for the right to create even when nothing is to be created.
      if (rows.length === 0) await client.query(`create schema ${identifier(schema)}`);
      await client.query(searchPath(schema));
      const applied = await runWithin(client, schema, direction, count);
      if (direction === 'up') {
        await client.query(regrant, [grant ?? null]);
      } else if (applied.length > 0 && (await appliedIn(client, schema)).length === 0) {
        await client.query(`drop table ${migrationTable(schema)}`);
      }
      await client.query('commit');
      return applied;
    } catch (cause) {
      throw databaseFailure(`migrate schema "${schema}"`, cause);
    }
  });
}

type RunnerClient = Extract<RunnerOption, { dbClient: unknown }>['dbClient'];

/** Runs the migrations in the transaction that is open. */
async function runWithin(
  client: PlainClient,
  schema: string,
  direction: 'up' | 'down',
  count: number,
): Promise<string[]> {
  // The runner makes text of some errors of the server: the first is kept as it came.
  let refusal: unknown;
  const query = async (text: string, values?: unknown[]) => {
    try {
      return await client.query(text, values);
    } catch (error) {
      refusal ??= error;
      throw error;
    }
  };
  try {
    // Loaded where it is needed: it would be a third of what most commands load.
    const { runner } = await import('node-pg-migrate');
    const applied = await runner({
      dbClient: { query } as unknown as RunnerClient,
      dir: folder,
      migrationLoaderStrategies: [{ extensions: ['.sql'], loader }],
      direction,
      count,
      migrationsSchema: schema,
      migrationsTable: 'migration',
      singleTransaction: false,
      // Its lock is one for all users of node-pg-migrate in the database, and makes the second one fail.
      noLock: true,
      logger: silent,
    });
    return applied.map(({ name }) => name);
  } catch (cause) {
    if (refusal !== undefined) throw refusal;
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new SchemaError(`schema "${schema}" does not fit this release of the package: ${text}`, { cause });
  }
}

/** What the runner runs: without a transaction of its own, because it is in ours. */
async function loader(paths: readonly string[]) {
  const steps = (sql: string) => (builder: MigrationBuilder) => {
    builder.noTransaction();
    builder.sql(sql);
  };
  return Promise.all(
    paths.map(async (path) => {
      const { up, down } = await readMigration(path);
      return { id: path, filePaths: [path], actions: { up: steps(up), down: steps(down) } };
    }),
  );
}

async function migrationFiles(): Promise<string[]> {
  const files = await readdir(folder);
  return files
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => join(folder, file));
}

function nameOf(path: string): string {
  return basename(path, '.sql');
}

async function readMigration(path: string): Promise<{ up: string; down: string }> {
  const [up = '', down = ''] = (await readFile(path, 'utf8')).split(/^-- Down Migration$/m);
  return { up: up.trim(), down: down.trim() };
}

async function appliedIn(client: PlainClient, schema: string): Promise<string[]> {
  const { rows } = await client.query(`select name from ${migrationTable(schema)} order by run_on, id`);
  return rows.map(({ name }) => name);
}

const silent = { debug() {}, info() {}, warn() {}, error() {} };
