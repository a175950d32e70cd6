import { identifier, literal } from './statement.ts';

/** A process that waited for the lock sees what the other did only in READ COMMITTED, which may not be the default. */
export const begin = 'begin isolation level read committed read write';

/** Processes that migrate one schema do it one after the other. */
export function lock(schema: string): string {
  return `select pg_advisory_xact_lock(hashtextextended(${literal(`fencepost migrate ${schema}`)}, 0))`;
}

/** What migrations run with, and the functions that they create after them. */
export function searchPath(schema: string): string {
  return `set local search_path to ${identifier(schema)}, pg_temp`;
}

/** The table of the migrations that were applied, as node-pg-migrate makes it. */
export function migrationTable(schema: string): string {
  return `${identifier(schema)}.migration`;
}

/** Of a schema $1: no row when it is not there, `migrated` true when it has the table of migrations. */
export const findSchema = `select exists (
    select from pg_class where relnamespace = n.oid and relname = 'migration') as migrated
  from pg_namespace n where nspname = $1`;

/** Gives the role $1, if it is not null, and those that have it already what the schema has for them now. */
export const regrant = `select grant_access(r.role) from (
    select a.grantee::regrole from pg_proc p, aclexplode(p.proacl) a
    where p.oid = 'about()'::regprocedure and a.grantee not in (0, p.proowner)
    union
    select quote_ident($1)::regrole where $1 is not null) r(role)`;

export function grantAccess(role: string): string {
  return `select grant_access(quote_ident(${literal(role)})::regrole)`;
}

/** Lets the schema go on in this database system; a floor for its tokens as $1, or null. Runs with the search path. */
export const adoptSystem = 'select adopted, floor from adopt($1)';
