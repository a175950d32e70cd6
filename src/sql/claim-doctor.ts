import { holdRow } from './claim-held.ts';
import { statementsOf } from './claim-statements.ts';
import type { ClaimTable } from './claim-table.ts';
import type { Row, Statement } from './statement.ts';

const someone = { id: '00000000-0000-0000-0000-000000000001', epoch: 0 };

/** How the server would run a claim. It does not run it. */
export function explainClaim(table: ClaimTable, tenant: unknown): Statement {
  const { text, values } =
    table.storage === 'held'
      ? holdRow(table, 1, tenant, undefined)
      : statementsOf(table).claimRows(table, someone, { limit: 10, tenant });
  return { name: 'explain_claim', text: `explain (format text) ${text}`, values };
}

/** The part of the plan that finds the rows that nobody has: those of each key, where there is a limit for it. */
export function planOfFree(rows: readonly Row[]): string {
  // A plugin may have renamed the column.
  const lines = rows.map((row) => Object.values(row)[0] ?? '');
  const free = lines.findIndex((line) => line.includes('CTE fencepost_free'));
  const start = free === -1 ? lines.findIndex((line) => line.includes('CTE fencepost_found')) : free;
  const depth = (line: string): number => line.length - line.trimStart().length;
  const length = lines.slice(start + 1).findIndex((line) => depth(line) <= depth(lines[start] ?? ''));
  return lines.slice(start + 1, length === -1 ? undefined : start + 1 + length).join('\n');
}

/** An index of the table, as the catalog has it. */
export interface IndexFacts {
  readonly name: string;
  readonly valid: boolean;
  /** Its columns in order; null where it has an expression. */
  readonly keys: readonly {
    readonly name: string | null;
    readonly desc: boolean;
    readonly nullsFirst: boolean;
  }[];
  readonly definition: string;
}

/** What keeps vacuum from cleaning up. */
export interface OldestFacts {
  readonly kind: 'session' | 'prepared' | 'slot' | 'standby';
  /** The process id, or the name. */
  readonly name: string;
  readonly seconds: number | null;
  readonly transactions: number;
}

/** What surrounds the table: settings, indexes and the work of vacuum. */
export interface Surroundings {
  readonly isolation: string;
  readonly rows: number;
  readonly dead: number;
  /** Dead rows from which autovacuum would begin; null where it is off. */
  readonly threshold: number | null;
  readonly fillfactor: number;
  /** The columns of the claim are in the table. */
  readonly marked: boolean;
  readonly indexes: readonly IndexFacts[];
  readonly nullable: readonly string[];
  readonly oldest: OldestFacts | null;
}

export function surroundings(table: ClaimTable): Statement {
  const option = (name: string): string =>
    `(select option_value from pg_catalog.pg_options_to_table(c.reloptions) where option_name = '${name}')`;
  const setting = (name: string): string =>
    `coalesce(${option(name)}, pg_catalog.current_setting('${name}'))::float8`;
  return {
    name: 'claim_surroundings',
    text: `select '=' || json_build_object(
      'isolation', pg_catalog.current_setting('default_transaction_isolation'),
      'rows', greatest(c.reltuples, 0)::bigint,
      'dead', coalesce(s.n_dead_tup, 0),
      'threshold', case when pg_catalog.current_setting('autovacuum')::boolean
          and coalesce(${option('autovacuum_enabled')}::boolean, true)
        then (${setting('autovacuum_vacuum_threshold')}
          + ${setting('autovacuum_vacuum_scale_factor')} * greatest(c.reltuples, 0))::bigint end,
      'fillfactor', coalesce(${option('fillfactor')}::integer, 100),
      'marked', exists (
        select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = 'fencepost_holder'),
      'indexes', (select coalesce(json_agg(json_build_object(
          'name', i.indexrelid::regclass::text,
          'valid', i.indisvalid,
          'definition', pg_catalog.pg_get_indexdef(i.indexrelid),
          'keys', (select json_agg(json_build_object(
              'name', (select a.attname from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum = k.attnum),
              'desc', i.indoption[k.place - 1] & 1 = 1,
              'nullsFirst', i.indoption[k.place - 1] & 2 = 2) order by k.place)
            from unnest(i.indkey) with ordinality k(attnum, place) where k.place <= i.indnkeyatts))), '[]')
        from pg_catalog.pg_index i where i.indrelid = c.oid),
      'nullable', array(
        select a.attname from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attnotnull),
      'oldest', (${oldest})
      )::text as facts
      from pg_catalog.pg_class c left join pg_catalog.pg_stat_all_tables s on s.relid = c.oid
      where c.oid = $1::oid`,
    values: [table.oid],
  };
}

export function readSurroundings([row]: readonly Row[]): Surroundings {
  return JSON.parse((row?.facts ?? '={}').slice(1)) as Surroundings;
}

/** A role without pg_read_all_stats sees only its own sessions here. */
const oldest = `select to_json(o) from (
    select 'session' as kind, a.pid::text as name, age(a.backend_xmin) as transactions,
      extract(epoch from clock_timestamp() - a.xact_start)::bigint as seconds
    from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and a.backend_xmin is not null and a.pid <> pg_backend_pid()
    union all
    select 'prepared', p.gid, age(p.transaction), extract(epoch from clock_timestamp() - p.prepared)::bigint
    from pg_catalog.pg_prepared_xacts p where p.database = current_database()
    union all
    select 'slot', r.slot_name, age(r.xmin), null from pg_catalog.pg_replication_slots r where r.xmin is not null
    union all
    select 'standby', coalesce(nullif(r.application_name, ''), r.pid::text), age(r.backend_xmin), null
    from pg_catalog.pg_stat_replication r where r.backend_xmin is not null
  ) o order by o.seconds desc nulls last, o.transactions desc limit 1`;
