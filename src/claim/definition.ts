import type { Expression, ExpressionBuilder, Kysely, Selectable, SqlBool, UpdateObject } from 'kysely';
import type { Duration } from '../core/duration.ts';
import { ArgumentError } from '../core/errors.ts';
import {
  boolean,
  type Check,
  duration,
  integer,
  oneOf,
  optional,
  validate,
  withDefault,
} from '../core/options.ts';
import type { ClaimShape } from '../sql/claim-table.ts';
import { type AnyTables, assignmentsOf, columnName, conditionOf, tableName } from './query-text.ts';

/** The names of the columns of a table. */
export type ColumnOf<DB, Table extends keyof DB> = keyof DB[Table] & string;

/** A row as it is read. */
export type RowOf<DB, Table extends keyof DB> = Selectable<DB[Table]>;

/** A column, and whether it is descending and where its nulls stand: `'priority desc'`, `'run_at asc nulls first'`. */
export type OrderOf<Column extends string> =
  `${Column}${'' | ' asc' | ' desc'}${'' | ' nulls first' | ' nulls last'}`;

/** Which rows are claimed, in which order, where claims are kept, and what becomes of the rows. */
export type ClaimOptions<DB, Table extends keyof DB & string> = RowOptions<DB, Table> &
  (KeptOptions<DB, Table> | HeldOptions);

/** Where claims are kept. All definitions of a table say the same. */
export interface KeptOptions<DB, Table extends keyof DB & string> {
  /**
   * - `'columns'`, the default: in columns of the table, which `ensure()` adds. Rows in flight cost a claim nothing.
   * - `'sidecar'`: beside it, in a table of Fencepost; yours gets no column. A claim reads what is in flight, and looks
   *   at each row that was set aside and comes first; a row whose tenant changes while somebody has it is done again.
   */
  readonly storage?: 'columns' | 'sidecar' | undefined;
  /**
   * How often a row is tried. One that was claimed so often, and not completed, is set aside instead of claimed again.
   * 5 by default.
   */
  readonly maxAttempts?: number | undefined;
  /**
   * At most so many rows at one time that agree in these columns, which cannot be null: exactly, whoever claims. With a
   * limit of 1 they are done one after the other and in order: one that waits for another attempt keeps those behind it
   * waiting, until it is done or set aside. Claims then go round the keys; the order holds within each. Claims of the
   * table take turns, a few hundred a second, so let them be of several rows; one for a single tenant is quick when the
   * first of the columns is `tenant`. No limit by default.
   */
  readonly perKey?:
    | {
        readonly by: ColumnOf<DB, Table> | readonly ColumnOf<DB, Table>[];
        readonly limit: number;
      }
    | undefined;
}

/** A claim is the lock of its row, in a transaction that stays open: for short work. Nothing is written for it. */
export interface HeldOptions {
  /**
   * `'held'`: each claim keeps a connection of your pool until it is settled, and Postgres drops it with the connection.
   * Nothing is kept of a row: no attempts, no time before which it is not tried again, no setting aside. Open
   * transactions keep vacuum from its work, so do not let them last. `ttl` is how long after a process froze the server
   * ends its transactions, and how long a claim may be silent. The pool needs an error listener on its clients
   * (`pool.on('connect', (client) => client.on('error', ...))`): `pg` ends the process without one when a connection
   * that is in use breaks.
   */
  readonly storage: 'held';
  /**
   * Most claims at one time, each with a connection of the pool of `db`, which must have more than that: work in other
   * transactions needs one as well. 5 by default, half of what a `pg.Pool` has.
   */
  readonly connections?: number | undefined;
  readonly maxAttempts?: undefined;
  readonly perKey?: undefined;
}

/** Which rows are claimed, in which order, and what becomes of them. */
export interface RowOptions<DB, Table extends keyof DB & string> {
  /** Your own Kysely instance: claims run on its pool, each on one connection for one round trip. */
  readonly db: Kysely<DB>;
  /** A table, with its schema in front where it is not on the search path. Not a view: a view has no rows to lock. */
  readonly table: Table;
  /** The columns of its primary key, or of another unique index. */
  readonly key: ColumnOf<DB, Table> | readonly ColumnOf<DB, Table>[];
  /** The column that says whose row it is. With it a claim can be for one tenant alone, at the price of an index. */
  readonly tenant?: ColumnOf<DB, Table> | undefined;
  /**
   * Which rows wait to be claimed; all of them by default. Its values become literals, so that a partial index fits: so
   * it says the same each time, and what changes with time belongs elsewhere.
   */
  readonly where?: ((eb: ExpressionBuilder<DB, Table>) => Expression<SqlBool>) | undefined;
  /**
   * What comes first. Rows that other workers are just claiming are stepped over; where it takes long to look from the
   * start, workers do so once a second. In no order by default.
   */
  readonly orderBy?: readonly OrderOf<ColumnOf<DB, Table>>[] | undefined;
  /**
   * Shares each claim between the tenants that have rows, so that one with a million of them keeps nobody waiting: up to
   * 64 tenants in turn get an equal part of it, and what they leave goes to whoever comes first. Needs `tenant`, and is
   * no use with `perKey`, which goes round its keys anyway. It costs a claim a look for each of those tenants. False by
   * default: then `orderBy` alone decides.
   */
  readonly fair?: boolean | undefined;
  /**
   * How long a claim outlives its process: how late others get the rows of a worker that crashed. As for leases; a
   * process has one heartbeat for each ttl in use. From 50 ms to 24 days; 30 seconds by default.
   */
  readonly ttl?: Duration | undefined;
  /**
   * The longest that one attempt may take: then `signal` aborts and the row is given back, though the process lives.
   * As long as it takes by default.
   */
  readonly deadline?: Duration | undefined;
  /**
   * What completion does: `'delete'`s the row, or sets columns, which have to take the row out of `where` unless it is
   * to be claimed again.
   */
  readonly done: 'delete' | UpdateObject<DB, Table>;
}

/** What the options come to. */
export interface Definition {
  /** The table, as the caller names it. */
  readonly name: string;
  readonly shape: ClaimShape;
  readonly ttl: number;
  readonly deadline: number;
  /** Most claims at one time. */
  readonly most: number;
}

const ordering = /^(.+?)( asc| desc)?( nulls (?:first|last))?$/i;
const shortestTtl = 50;

export function definitionOf(
  schema: string,
  given: unknown,
): Definition & { readonly db: Kysely<AnyTables> } {
  const { db, table, key, tenant, where, orderBy, done, ...rest } = validate('options', given, {
    db: kyselyInstance,
    table: name,
    key: oneOrMore,
    tenant: optional(name),
    where: optional(condition),
    orderBy: withDefault(several, []),
    ttl: withDefault(duration({ min: shortestTtl }), 30_000),
    maxAttempts: optional(integer({ min: 1, max: 2 ** 31 - 1 })),
    connections: optional(integer({ min: 1, max: 1_000 })),
    perKey: optional(keyLimit),
    fair: withDefault(boolean(), false),
    deadline: withDefault(duration({ min: 1, max: Infinity }), Infinity),
    storage: withDefault(oneOf('columns', 'sidecar', 'held'), 'columns'),
    done: completion,
  });
  if (where === undefined && done !== 'delete') {
    const expected =
      "'delete', or a where that rows leave when they are done: otherwise they are claimed again";
    throw new ArgumentError('options.done', expected, done);
  }
  const held = rest.storage === 'held';
  const misplaced = held ? 'maxAttempts' : 'connections';
  if (rest[misplaced] !== undefined) {
    const reason = held ? 'which keeps no count of attempts' : 'whose claims keep no connection';
    throw new ArgumentError(
      `options.${misplaced}`,
      `nothing in storage '${rest.storage}', ${reason}`,
      rest[misplaced],
    );
  }
  const { perKey } = rest;
  if (held && perKey !== undefined) {
    const reason = 'where nobody can see how many rows of a key are locked without locking more of them';
    throw new ArgumentError('options.perKey', `nothing in storage 'held', ${reason}`, perKey);
  }
  if (rest.fair && (tenant === undefined || perKey !== undefined)) {
    const expected =
      tenant === undefined ? 'a tenant to be fair to' : 'no perKey, which goes round its keys anyway';
    throw new ArgumentError('options.fair', expected, true);
  }
  const shape: ClaimShape = {
    schema,
    ...tableName(db, table),
    storage: rest.storage,
    key: key.map((column) => columnName(db, table, column)),
    tenant: tenant === undefined ? undefined : columnName(db, table, tenant),
    where: where === undefined ? undefined : conditionOf(db, table, where),
    order: orderBy.map((text, place) => {
      const [, column, ascending = '', nulls = ''] = ordering.exec(text) ?? [];
      if (column === undefined) throw new ArgumentError(`options.orderBy[${place}]`, 'a column', text);
      return { name: columnName(db, table, column), direction: `${ascending}${nulls}` };
    }),
    maxAttempts: rest.maxAttempts ?? 5,
    fair: rest.fair,
    perKey: perKey && { ...perKey, by: perKey.by.map((column) => columnName(db, table, column)) },
    done: done === 'delete' ? 'delete' : { set: assignmentsOf(db, table, done) },
  };
  const most = held ? (rest.connections ?? 5) : Infinity;
  return { db, name: table, shape, ttl: rest.ttl, deadline: rest.deadline, most };
}

const kyselyInstance: Check<Kysely<AnyTables>> = (argument, value) => {
  const given = value as Kysely<AnyTables> | null | undefined;
  if (typeof given === 'object' && given !== null && 'selectFrom' in given && !given.isTransaction)
    return given;
  throw new ArgumentError(argument, 'a Kysely instance outside of a transaction', value);
};

const name: Check<string> = (argument, value) => {
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value;
  throw new ArgumentError(argument, 'a name', value);
};

const several: Check<readonly string[]> = (argument, value) => {
  if (Array.isArray(value)) return value.map((one, place) => name(`${argument}[${place}]`, one));
  throw new ArgumentError(argument, 'an array of names', value);
};

const oneOrMore: Check<readonly string[]> = (argument, value) => {
  const names = Array.isArray(value) ? several(argument, value) : [name(argument, value)];
  if (names.length > 0 && new Set(names).size === names.length) return names;
  throw new ArgumentError(argument, 'a column, or several different ones', value);
};

const keyLimit: Check<{ readonly by: readonly string[]; readonly limit: number }> = (argument, value) =>
  validate(argument, value, { by: oneOrMore, limit: integer({ min: 1, max: 10_000 }) });

type Condition = (eb: ExpressionBuilder<AnyTables, string>) => Expression<SqlBool>;

const condition: Check<Condition> = (argument, value) => {
  if (typeof value === 'function') return value as Condition;
  throw new ArgumentError(argument, 'a function of an expression builder', value);
};

const completion: Check<'delete' | Record<string, unknown>> = (argument, value) => {
  if (value === 'delete') return value;
  const columns = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (columns && Object.keys(value).length > 0) return value as Record<string, unknown>;
  throw new ArgumentError(argument, "'delete' or the columns to set", value);
};
