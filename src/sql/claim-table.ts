import { identifier, literal, type Row, type Statement } from './statement.ts';

/** A column of the key, with its type as SQL writes it. */
export interface KeyColumn {
  readonly name: string;
  readonly type: string;
}

/** How rows are ordered: the column, and the SQL that follows it. */
export interface OrderColumn {
  readonly name: string;
  readonly direction: string;
}

/** A table to claim rows of, in the words of SQL. Names are as the catalog has them. */
export interface ClaimShape {
  /** The schema of Fencepost. */
  readonly schema: string;
  /** Quoted, with its schema when it was given with one. */
  readonly table: string;
  /** Quoted, alone: what stands before a column. */
  readonly bare: string;
  readonly key: readonly string[];
  readonly tenant: string | undefined;
  /** The condition, with literals only. */
  readonly where: string | undefined;
  readonly order: readonly OrderColumn[];
  readonly maxAttempts: number;
  /** The assignments that completion makes, with literals only, or that it deletes the row. */
  readonly done: { readonly set: string } | 'delete';
}

/** A shape that was found in the database. */
export interface ClaimTable extends ClaimShape {
  readonly oid: string;
  readonly types: readonly string[];
}

/** What the claim of a row is kept in. */
export const claimColumns: Readonly<Record<string, string>> = {
  fencepost_token: 'bigint not null default 0',
  fencepost_holder: 'uuid',
  fencepost_attempts: 'integer not null default 0',
  fencepost_due: "timestamptz not null default '-infinity'",
  fencepost_error: 'text',
};

/**
 * Nobody: dead for ever, so its rows are free from `fencepost_due` on. It has those that wait for another attempt, and
 * until infinity those that were set aside.
 */
export const nobody = `'00000000-0000-0000-0000-000000000000'::uuid`;

/** What a table is, which columns it has, and whether this key is unique in it. */
export function describeTable(table: string, key: readonly string[]): Statement {
  return {
    name: 'describe_table',
    text: `select c.oid::text, c.relkind::text as kind,
      (select '=' || json_object_agg(a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod))::text
       from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
      exists (
        select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisunique and i.indisvalid
          and i.indimmediate and i.indpred is null and i.indexprs is null and array(
            select a.attname::text from unnest(i.indkey) with ordinality k(attnum, place)
            join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
            where k.place <= i.indnkeyatts) <@ $2::text[])::text as keyed,
      array(select x.relname::text from pg_catalog.pg_index i join pg_catalog.pg_class x on x.oid = i.indexrelid
            where i.indrelid = c.oid and i.indisvalid)::text as indexes
      from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass($1)`,
    values: [table, key],
  };
}

export interface TableFacts {
  readonly oid: string;
  readonly kind: string;
  readonly columns: ReadonlyMap<string, string>;
  readonly keyed: boolean;
  readonly indexes: readonly string[];
}

export function readTable(row: Row): TableFacts {
  return {
    oid: row.oid ?? '',
    kind: row.kind ?? '',
    columns: new Map(Object.entries(JSON.parse((row.columns ?? '={}').slice(1)) as Record<string, string>)),
    keyed: row.keyed === 'true',
    indexes: (row.indexes ?? '{}').slice(1, -1).split(','),
  };
}

export function addColumns({ table }: ClaimShape): string {
  const columns = Object.entries(claimColumns).map(
    ([name, type]) => `add column if not exists ${name} ${type}`,
  );
  return `alter table ${table}\n  ${columns.join(',\n  ')}`;
}

/**
 * The index that claims walk, for all tenants and for one; it has only rows that nobody claimed, so rows in flight and
 * rows that are done cost a claim nothing. The second is over the rows that somebody has: small, for finding the dead.
 */
export function addIndexes(shape: ClaimShape, name: (of: string) => string): Record<string, string> {
  const { table, tenant, where, order } = shape;
  const free = `${where === undefined ? '' : `(${where}) and `}fencepost_holder is null`;
  const ordered = order.map((column) => `${identifier(column.name)}${column.direction}`);
  const perTenant = tenant === undefined ? [] : [[identifier(tenant), ...ordered]];
  const claimed = `(fencepost_holder, fencepost_due) where fencepost_holder is not null`;
  return Object.fromEntries(
    [...[ordered, ...perTenant].map((columns) => `(${columns.join(', ')}) where ${free}`), claimed].map(
      (on) => {
        const index = name(on);
        return [index, `create index if not exists ${index} on ${table} ${on}`];
      },
    ),
  );
}

/** A value as a literal that means the same under all settings; undefined for what has no literal. */
export function valueLiteral(value: unknown): string | undefined {
  if (value === null) return 'null';
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  if (value instanceof Date) return literal(value.toISOString());
  if (typeof value !== 'string' || value.includes('\0') || !value.isWellFormed()) return undefined;
  const quoted = `'${value.replaceAll("'", "''")}'`;
  return value.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}
