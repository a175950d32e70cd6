import { identifier, type Row, type Statement } from './statement.ts';

/** What stands between an operator and calm, as the server says. */
export interface ServerFacts {
  readonly lockRoom: number;
  readonly locks: number;
  readonly isolation: string;
  readonly connections: number;
  readonly mostConnections: number;
  /** Seconds that the oldest transaction of this database is open, and its process; null without one. */
  readonly oldest: { readonly pid: number; readonly seconds: number } | null;
}

export function serverFacts(): Statement {
  const setting = (name: string): string =>
    `(select setting from pg_catalog.pg_settings where name = '${name}')`;
  return {
    name: 'server_facts',
    text: `select '=' || json_build_object(
      'lockRoom', ${setting('max_locks_per_transaction')}::bigint
        * (${setting('max_connections')}::bigint + ${setting('max_prepared_transactions')}::bigint),
      'locks', (select count(*) from pg_catalog.pg_locks where locktype = 'advisory'),
      'isolation', (select coalesce(
        (select split_part(c, '=', 2) from pg_catalog.pg_db_role_setting s, unnest(s.setconfig) c
         where s.setdatabase = (select oid from pg_catalog.pg_database where datname = current_database())
           and s.setrole = 0 and c like 'default_transaction_isolation=%'),
        (select boot_val from pg_catalog.pg_settings where name = 'default_transaction_isolation'))),
      'connections', (select count(*) from pg_catalog.pg_stat_activity where backend_type = 'client backend'),
      'mostConnections', ${setting('max_connections')}::integer
        - ${setting('superuser_reserved_connections')}::integer,
      'oldest', (select to_json(o) from (
        select pid, extract(epoch from clock_timestamp() - xact_start)::bigint as seconds
        from pg_catalog.pg_stat_activity
        where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()
        order by xact_start limit 1) o)
      )::text as facts`,
    values: [],
  };
}

export function readServerFacts([row]: readonly Row[]): ServerFacts {
  return JSON.parse((row?.facts ?? '={}').slice(1)) as ServerFacts;
}

/** Dead rows of our own tables: of the kind that every acquire and heartbeat steps over. */
export function ownTables(schema: string): Statement {
  return {
    name: 'own_tables',
    text: `select relname as name, n_live_tup as rows, n_dead_tup as dead from pg_catalog.pg_stat_all_tables
      where schemaname = $1 and relname in ('lease', 'holder', 'ticket')`,
    values: [schema],
  };
}

/** Leases that nobody has held for a month. */
export function staleLeases(schema: string): Statement {
  return {
    name: 'stale_leases',
    text: `select count(*) filter (where not held and coalesce(acquired_at, '-infinity') < now() - interval '30 days') as stale,
        count(*) as known from ${identifier(schema)}.leases`,
    values: [],
  };
}
