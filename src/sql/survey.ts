import { identifier, type Row, type Statement } from './statement.ts';

/** One part of what a survey sees: a statement that answers one row, with JSON and the milliseconds it took the server. */
export interface PartStatement extends Statement {
  readonly part: string;
}

/**
 * All that is looked at, each part by itself, so that those that are dear can be looked at less often. Names and tokens
 * come as texts, times in milliseconds.
 */
export function surveyParts(schema: string): readonly PartStatement[] {
  const s = identifier(schema);
  return [
    part('numbers', `select row_to_json(o) from ${s}.overview() o`),
    part('holders', rows(holders(s))),
    part('waits', waits(s)),
    part('locks', locks(s)),
    part('soonest', rows(soonest(s))),
    part('blocked', blocked(s)),
    part('counts', counts(s)),
    part(
      'claims',
      rows(`select relation::text as "table", tenant, state, "count" from ${s}.claim_counts()
            order by "count" desc, 1, 2, 3 limit 300`),
    ),
  ];
}

export function readPart([row]: readonly Row[]): { readonly found: unknown; readonly took: number } {
  return { found: JSON.parse(row?.found ?? 'null'), took: Number(row?.took) };
}

/** The values of a row are computed from left to right: when it is done, then what it took. */
function part(name: string, found: string): PartStatement {
  return {
    part: name,
    name: `survey_${name}`,
    text: `select (${found})::text as found,
      (extract(epoch from clock_timestamp() - statement_timestamp()) * 1000)::float8 as took`,
    values: [],
  };
}

const rows = (select: string): string => `select coalesce(json_agg(f), '[]') from (${select}) f`;

const milliseconds = (seconds: string): string => `round(((${seconds}) * 1000)::numeric)`;

const waited = `extract(epoch from clock_timestamp() - since)`;

/** Those first that expire first. */
const holders = (
  s: string,
): string => `select id, application, alive, ${milliseconds('seconds_silent')} as silent,
  ${milliseconds('seconds_left')} as left, ${milliseconds('extract(epoch from ttl)')} as ttl
  from ${s}.holders order by expires_at, id limit 1000`;

/** Where one column of the distribution of waits ends and the next begins, in milliseconds. */
export const waitBounds: readonly number[] = [10, 100, 1_000, 10_000, 60_000, 600_000];

const waits = (s: string): string => `with w as materialized (
    select kind, coalesce(tenant, '') as tenant, coalesce(name, key::text) as name, mode, application, pid, since,
      ${waited} * 1000 as waited from ${s}.waiters)
  select json_build_object(
    'total', (select count(*) from w),
    'unknown', (select count(*) from w where since is null),
    'buckets', (select array_agg((select count(*) from w where since is not null and
        width_bucket(w.waited::float8, '{${waitBounds.join()}}'::float8[]) = bucket) order by bucket)
      from generate_series(0, ${waitBounds.length}) bucket),
    'longest', (${rows(`select kind, tenant, name, mode, application, pid, round(waited::numeric) as waited
      from w order by since nulls last, kind, tenant, name limit 50`)}))`;

/** Locks by their key, those first that are waited for. */
const locks = (s: string): string => `with l as materialized (select * from ${s}.locks)
  select json_build_object(
    'held', (select count(*) from l where granted),
    'waiting', (select count(*) from l where not granted),
    'keys', (${rows(`select key::text, count(*) filter (where granted) as held,
      count(*) filter (where not granted) as waiting, min(mode) filter (where granted) as mode,
      min(pid) filter (where granted) as pid, min(application) filter (where granted) as application
      from l group by key order by 3 desc, key limit 50`)}))`;

const soonest = (
  s: string,
): string => `select l.tenant, l.name, l.slot, l.token::text, l.application, l.revoked,
    ${milliseconds('l.seconds_left')} as left, ${milliseconds('h.seconds_silent')} as silent,
    ${milliseconds('extract(epoch from h.ttl)')} as ttl
  from (select * from ${s}.leases where holder_id is not null and expires_at > now() order by expires_at limit 50) l
  left join ${s}.holders h on h.id = l.holder_id order by l.expires_at, l.tenant, l.name, l.slot`;

/** Processes in the way of processes; a session that holds locks is one of its own. */
const blocked = (s: string): string => `with b as materialized (
    select kind, since, coalesce(name, key::text) as name,
      case when kind = 'lock' then coalesce(application, '') || ' #' || pid else application end as who,
      case when kind = 'lock' then coalesce(by_application, '') || ' #' || by_pid else by_application end as by
    from ${s}.blocked),
  g as materialized (
    select kind, who, by, count(*) as count, round(max(${waited})::numeric * 1000) as waited, min(name) as name
    from b group by 1, 2, 3)
  select json_build_object('total', (select count(*) from g),
    'ways', (${rows('select * from g order by count desc, who, by limit 120')}))`;

const counts = (s: string): string => {
  const by = (column: string): string =>
    rows(`select ${column} as name, sum(known)::bigint as known, sum(held)::bigint as held, sum(wanted)::bigint as wanted,
      sum(revoked)::bigint as revoked from c group by 1 having sum(held) > 0
      order by sum(wanted) desc, sum(held) desc, 1 limit 50`);
  return `with c as materialized (select * from ${s}.lease_counts)
    select json_build_object(
      'tenants', (select count(distinct tenant) from c where held > 0),
      'families', (select count(distinct family) from c where held > 0),
      'byTenant', (${by('tenant')}), 'byFamily', (${by('family')}))`;
};
