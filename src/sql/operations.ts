import { type LeaseRow, leaseColumns } from './inspect.ts';
import { identifier, type Row, rowOf, type Statement } from './statement.ts';

/** Which leases an operator looks for: of one tenant, with a name that begins so, behind one of them. */
export interface LeaseFilter {
  readonly tenant: string | undefined;
  readonly prefix: string;
  readonly after: Pick<LeaseRow, 'tenant' | 'name' | 'slot'> | undefined;
  readonly limit: number;
}

export function findLeases(schema: string, { tenant, prefix, after, limit }: LeaseFilter): Statement {
  return {
    name: 'find_leases',
    text: `select ${leaseColumns} from ${identifier(schema)}.leases
      where held and ($1::text is null or tenant = $1) and starts_with(name, $2) and (tenant, name, slot) > ($3, $4, $5)
      order by tenant, name, slot limit $6`,
    values: [tenant ?? null, prefix, after?.tenant ?? '', after?.name ?? '', after?.slot ?? -1, limit],
  };
}

/** Who waits, for locks and for leases. */
export function waiters(schema: string, limit: number): Statement {
  return {
    name: 'waiters',
    text: `select kind, coalesce(tenant, '') as tenant, name, key, mode, application, pid,
        (extract(epoch from clock_timestamp() - since) * 1000)::bigint as waited
      from ${identifier(schema)}.waiters order by kind, since, tenant, name limit $1`,
    values: [limit],
  };
}

export interface WaiterRow {
  readonly kind: string;
  readonly tenant: string;
  readonly name: string | null;
  readonly key: string | null;
  readonly mode: string | null;
  readonly application: string | null;
  readonly pid: number | null;
  /** Milliseconds; null for leases. */
  readonly waited: number | null;
}

export function readWaiter(row: Row): WaiterRow {
  const { kind, tenant, name = null, key = null, mode = null, application = null, pid, waited } = row;
  const numberOf = (text: string | null | undefined): number | null => (text == null ? null : Number(text));
  return {
    kind: kind ?? '',
    tenant: tenant ?? '',
    name,
    key,
    mode,
    application,
    pid: numberOf(pid),
    waited: numberOf(waited),
  };
}

/** The numbers of the moment. */
export const overview = (schema: string): Statement => rowOf(schema, 'overview', []);

export interface Overview {
  readonly holdersAlive: number;
  readonly holdersExpired: number;
  readonly leasesKnown: number;
  readonly leasesHeld: number;
  readonly tickets: number;
  /** Drawn so far. */
  readonly tokens: number;
}

export function readOverview([row]: readonly Row[]): Overview {
  return {
    holdersAlive: Number(row?.holders_alive),
    holdersExpired: Number(row?.holders_expired),
    leasesKnown: Number(row?.leases_known),
    leasesHeld: Number(row?.leases_held),
    tickets: Number(row?.tickets),
    tokens: Number(row?.tokens),
  };
}

/** Holders, those first that have been silent for longest. */
export function livingHolders(schema: string, limit: number): Statement {
  return {
    name: 'living_holders',
    text: `select id, application, alive, (extract(epoch from clock_timestamp() - beat_at) * 1000)::bigint as silent,
        (extract(epoch from expires_at - clock_timestamp()) * 1000)::bigint as left
      from ${identifier(schema)}.holders order by expires_at, id limit $1`,
    values: [limit],
  };
}

/** A table with claims: in columns of its own, or beside it under this number. */
export interface ClaimedTable {
  readonly name: string;
  readonly source: number | undefined;
}

/** Tables with the columns of claims that this role may read, and those that have claims beside them. */
export function claimedTables(schema: string): Statement {
  return {
    name: 'claimed_tables',
    text: `select format('%I.%I', n.nspname, c.relname) as name, null as source
    from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where a.attname = 'fencepost_holder' and not a.attisdropped and c.relkind in ('r', 'p')
      and pg_catalog.has_column_privilege(c.oid, a.attnum, 'select') and exists (
        select from pg_catalog.pg_attribute d where d.attrelid = c.oid and d.attname = 'fencepost_due'
          and pg_catalog.has_column_privilege(c.oid, d.attnum, 'select'))
    union all
    select format('%I.%I', n.nspname, c.relname), s.source_id::text
    from (select distinct source_id, relation from ${identifier(schema)}.claims) s
    join pg_catalog.pg_class c on c.oid = s.relation join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    order by 1`,
    values: [],
  };
}

export function readClaimedTable({ name, source }: Row): ClaimedTable {
  return { name: String(name), source: source == null ? undefined : Number(source) };
}

/** Holder and due of the rows that somebody has. */
function keptOf(schema: string, { name, source }: ClaimedTable): string {
  return source === undefined
    ? `select fencepost_holder as holder, fencepost_due as due from ${name} where fencepost_holder is not null`
    : `select holder_id as holder, due from ${identifier(schema)}.claims
        where source_id = ${source} and holder_id is not null`;
}

/**
 * The claimed rows of a table by what they are. It walks the small index over rows that somebody has, and stops at the
 * limit; rows that nobody has are not counted: what waits among them, only the definition says.
 */
export function claimsOf(schema: string, table: ClaimedTable, limit: number): Statement {
  const nobody = `'00000000-0000-0000-0000-000000000000'::uuid`;
  return {
    name: `claims_of ${table.name}`,
    text: `select count(*) filter (where h.alive) as claimed,
        count(*) filter (where r.holder <> ${nobody} and h.alive is not true) as left_behind,
        count(*) filter (where r.holder = ${nobody} and r.due < 'infinity') as waiting,
        count(*) filter (where r.holder = ${nobody} and r.due = 'infinity') as aside
      from (${keptOf(schema, table)} limit $1) r
      left join ${identifier(schema)}.holders h on h.id = r.holder`,
    values: [limit],
  };
}

/** Rows of a table by the process that has them. */
export function claimantsOf(schema: string, table: ClaimedTable, limit: number): Statement {
  return {
    name: `claimants_of ${table.name}`,
    text: `select r.holder, coalesce(h.application, '') as application, h.alive, count(*) as claimed
      from (${keptOf(schema, table)} limit $1) r
      left join ${identifier(schema)}.holders h on h.id = r.holder
      where r.holder <> '00000000-0000-0000-0000-000000000000' group by 1, 2, 3 order by 4 desc, 1`,
    values: [limit],
  };
}

/** Ends the server sessions that hold this lock; all that they hold is free then. */
export function endSessions(pids: readonly number[]): Statement {
  return {
    name: 'end_sessions',
    text: 'select pid, pg_terminate_backend(pid) as ended from unnest($1::integer[]) pid',
    values: [pids],
  };
}
