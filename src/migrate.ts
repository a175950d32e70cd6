import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import { type Check, integer, optional, text, validate, withDefault } from './core/options.ts';
import { databaseFailure } from './core/sqlstate.ts';
import {
  type ConnectionSource,
  connectionSource,
  type PlainClient,
  withClient,
} from './session/connection.ts';
import { schemaName } from './session/database.ts';
import { identifier } from './sql/statement.ts';

/** Where to migrate. */
export interface MigrateOptions {
  /** A role that owns the schema, or may create it. */
  readonly connection: ConnectionSource;
  /** The schema, made when it is not there. `'fencepost'` by default. */
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

const folder = fileURLToPath(new URL('../migrations', import.meta.url));
const migrationsTable = 'migration';
const where = { connection: connectionSource, schema: withDefault(schemaName, 'fencepost') };
const roleName: Check<string> = text({ minBytes: 1, maxBytes: 63 });

/**
 * Brings the schema up to date, in one transaction, and answers the names of the migrations that were applied: none
 * when it was. Processes that start at once wait for each other. Nothing outside of the schema is touched.
 *
 * @throws DatabaseError when the database cannot be reached or refuses
 *
 * @example
 * await migrate({ connection: process.env.DATABASE_URL });
 */
export async function migrate(options: MigrateOptions): Promise<string[]> {
  const { grant, ...rest } = validate('options', options, { ...where, grant: optional(roleName) });
  return run({ ...rest, direction: 'up', count: Infinity, grant });
}

/**
 * Undoes the newest migrations and answers their names. What the tables held is lost: every lease is free, and the
 * tokens begin anew, so do it only while nothing uses them.
 */
export async function rollback(options: RollbackOptions): Promise<string[]> {
  const rest = validate('options', options, { ...where, count: withDefault(integer({ min: 1 }), 1) });
  return run({ ...rest, direction: 'down', grant: undefined });
}

/**
 * The statements of `migrate` as one text for `psql`, for teams whose database administrators apply changes
 * themselves. `migrate` knows afterwards that they were applied.
 */
export async function migrationSql(options: Omit<MigrateOptions, 'connection'> = {}): Promise<string> {
  const { schema, grant } = validate('options', options, { schema: where.schema, grant: optional(roleName) });
  const files = (await readdir(folder)).filter((file) => file.endsWith('.sql')).sort();
  const table = `${identifier(schema)}.${migrationsTable}`;
  const parts = [
    'begin;',
    `create schema if not exists ${identifier(schema)};`,
    searchPath(schema),
    `create table ${table} (id serial primary key, name varchar(255) not null, run_on timestamp not null);`,
  ];
  for (const file of files) {
    const [up = ''] = (await readFile(join(folder, file), 'utf8')).split(/^-- Down Migration$/m);
    parts.push(up.trim(), `insert into ${table} (name, run_on) values ('${basename(file, '.sql')}', now());`);
  }
  if (grant !== undefined) parts.push(`select grant_access(${literal(identifier(grant))});`);
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
      await client.query('begin');
      await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [
        `fencepost migrate ${schema}`,
      ]);
      const { rows } = await client.query('select from pg_namespace where nspname = $1', [schema]);
      if (rows.length === 0 && direction === 'down') return [];
      // Not IF NOT EXISTS: that asks for the right to create even when nothing is to be created.
      if (rows.length === 0) await client.query(`create schema ${identifier(schema)}`);
      await client.query(searchPath(schema));
      const applied = await runner({
        dbClient: client,
        dir: folder,
        direction,
        count,
        migrationsSchema: schema,
        migrationsTable,
        singleTransaction: true,
        noLock: true,
        logger: silent,
      });
      // The runner's own BEGIN and COMMIT have ended the transaction when there was something to run.
      if (applied.length > 0) await client.query(`begin; ${searchPath(schema)}`);
      if (direction === 'up') await regrant(client, grant);
      await client.query('commit');
      return applied.map(({ name }) => name);
    } catch (cause) {
      throw databaseFailure(`migrate schema "${schema}"`, cause, undefined);
    }
  });
}

/** Gives a role, and those that have it already, what the schema has for them now. */
async function regrant(client: PlainClient, role: string | undefined): Promise<void> {
  await client.query(
    `select grant_access(r.role) from (
       select a.grantee::regrole from pg_proc p, aclexplode(p.proacl) a
       where p.oid = 'about()'::regprocedure and a.grantee not in (0, p.proowner)
       union select quote_ident($1)::regrole where $1 is not null) r(role)`,
    [role ?? null],
  );
}

function searchPath(schema: string): string {
  return `set local search_path to ${identifier(schema)}, pg_temp;`;
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

const silent = { debug() {}, info() {}, warn() {}, error() {} };
