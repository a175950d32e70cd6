import { identifier, literal, type Row, type Statement } from './statement.ts';

/** How rows are ordered: the column, and the SQL that follows it. */
export interface OrderColumn {
  readonly name: string;
  readonly direction: string;
}

/** Where the claim of a row is kept: in columns of its table, beside it in a table of ours, or in its row lock alone. */
export type ClaimStorage = 'columns' | 'sidecar' | 'held';

/** A table to claim rows of, in the words of SQL. Names are as the catalog has them. */
export interface ClaimShape {
  /** The schema of Fencepost. */
  readonly schema: string;
  /** Quoted, with its schema when it was given with one. */
  readonly table: string;
  /** Quoted, alone: what stands before a column. */
  readonly bare: string;
  readonly storage: ClaimStorage;
  readonly key: readonly string[];
  readonly tenant: string | undefined;
  /** The condition, with literals only. */
  readonly where: string | undefined;
  readonly order: readonly OrderColumn[];
  readonly maxAttempts: number;
  /** Whether claims go round the tenants. */
  readonly fair: boolean;
  /** How many rows may be claimed at one time that agree in these columns. */
  readonly perKey: { readonly by: readonly string[]; readonly limit: number } | undefined;
  /** The assignments that completion makes, with literals only, or that it deletes the row. */
  readonly done: { readonly set: string } | 'delete';
}

/** A shape that was found in the database. */
export interface ClaimTable extends ClaimShape {
  readonly oid: string;
  /** The type of its rows, with its schema: alone, `line` would be that of `pg_catalog`. */
  readonly rowType: string;
  readonly types: readonly string[];
  /** What the columns of the order are. */
  readonly orderFacts: readonly ColumnFacts[];
  /** The columns by which claims go round groups of rows, and their types. */
  readonly groups: readonly string[];
  readonly groupTypes: readonly string[];
  /** How claims that stand beside the table name its rows; undefined where they do not. */
  readonly names: RowNames | undefined;
}

/** A row of the table as text, as expressions over its columns that give the same whatever the settings are. */
export interface RowNames {
  /** Under which number all its claims are kept. */
  readonly source: string;
  readonly tenant: string;
  readonly key: string;
  /** Of the tenant's column, where there is one. */
  readonly tenantType: string | undefined;
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
    text: `select c.oid::text, c.relkind::text as kind, pg_catalog.format('%I.%I', n.nspname, c.relname) as rowtype,
      (select '=' || json_object_agg(a.attname, json_build_array(
         pg_catalog.format_type(a.atttypid, -1), coalesce(b.typname, t.typname),
         coalesce(b.typtype, t.typtype), a.attnotnull or t.typnotnull))::text
       from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
       left join pg_catalog.pg_type b on b.oid = nullif(t.typbasetype, 0)
       where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
      exists (
        select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisunique and i.indisvalid
          and i.indimmediate and i.indpred is null and i.indexprs is null and array(
            select a.attname::text from unnest(i.indkey) with ordinality k(attnum, place)
            join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
            where k.place <= i.indnkeyatts) <@ $2::text[])::text as keyed,
      array(select x.relname::text from pg_catalog.pg_index i join pg_catalog.pg_class x on x.oid = i.indexrelid
            where i.indrelid = c.oid and i.indisvalid)::text as indexes
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where c.oid = pg_catalog.to_regclass($1)`,
    values: [table, key],
  };
}

export interface ColumnFacts {
  /** As SQL writes it, without a length or a precision: a cast to those cuts values off. */
  readonly type: string;
  /** What it is, or what the domain is made of that it is. */
  readonly base: string;
  readonly enumerated: boolean;
  readonly nullable: boolean;
}

export interface TableFacts {
  readonly oid: string;
  readonly rowType: string;
  readonly kind: string;
  readonly columns: ReadonlyMap<string, ColumnFacts>;
  readonly keyed: boolean;
  readonly indexes: readonly string[];
}

type ColumnText = [type: string, base: string, kind: string, filled: boolean];

export function readTable(row: Row): TableFacts {
  return {
    oid: row.oid ?? '',
    rowType: row.rowtype ?? '',
    kind: row.kind ?? '',
    columns: new Map(
      Object.entries(JSON.parse((row.columns ?? '={}').slice(1)) as Record<string, ColumnText>).map(
        ([name, [type, base, kind, filled]]) => [
          name,
          { type, base, enumerated: kind === 'e', nullable: !filled },
        ],
      ),
    ),
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
 * The index that claims walk, for all tenants and for one. Where claims are kept in columns it has only rows that nobody
 * claimed, so rows in flight cost a claim nothing, and there is one more over the rows that somebody has: small, for
 * finding the dead.
 */
export function addIndexes(shape: ClaimShape, name: (of: string) => string): Record<string, string> {
  const { table, storage, tenant, where, order } = shape;
  const columns = storage === 'columns';
  const named = (all: readonly string[]): Record<string, string> =>
    Object.fromEntries(
      all.map((on) => {
        const index = name(on);
        return [index, `create index if not exists ${index} on ${table} ${on}`];
      }),
    );
  const conditions = [
    ...(where === undefined ? [] : [`(${where})`]),
    ...(columns ? ['fencepost_holder is null'] : []),
  ];
  const free = conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`;
  const sorted = order.map((column) => `${identifier(column.name)}${column.direction}`);
  const ordered = sorted.length > 0 || free === '' ? sorted : shape.key.map(identifier);
  const perTenant = tenant === undefined ? [] : [[identifier(tenant), ...ordered]];
  const claimed = columns ? ['(fencepost_holder, fencepost_due) where fencepost_holder is not null'] : [];
  if (shape.perKey !== undefined) {
    const { by } = shape.perKey;
    const rest = shape.key.filter((one) => !order.some((column) => column.name === one));
    const keyed = [...by.map(identifier), ...sorted, ...rest.map(identifier)];
    const unfinished = [
      ...(where === undefined ? [] : [`(${where})`]),
      ...(columns ? [`fencepost_due < 'infinity'`] : []),
    ];
    const on = `(${[...new Set(keyed)].join(', ')})${unfinished.length === 0 ? '' : ` where ${unfinished.join(' and ')}`}`;
    return named([on, ...claimed]);
  }
  const walked = [ordered, ...perTenant].filter(({ length }) => length > 0);
  return named([...walked.map((names) => `(${names.join(', ')})${free}`), ...claimed]);
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
