import { type Claimant, columnsOf, filter, rowOrder } from './claim.ts';
import type { Asked } from './claim-asked.ts';
import { hasEntry, namesOf } from './claim-beside.ts';
import { partOf } from './claim-names.ts';
import { firstRows, positionOf, tokenBefore } from './claim-position.ts';
import { hasNumbers, hasSteps, rowsOverRuns } from './claim-runs.ts';
import type { ClaimTable } from './claim-table.ts';
import { identifier, type Statement } from './statement.ts';

/** Claims of so many rows wait for one another on the server; smaller ones would wait for the disk of all before them. */
export const largeClaim = 100;

/**
 * Claims rows that nobody has, unless there are others that could come before them in the order: left by the dead, or
 * due again. Then it says that there are others, and takes none.
 */
export function claimFresh(table: ClaimTable, { id, epoch }: Claimant, asked: Asked): Statement {
  const { limit, tenant, from, alone = false } = asked;
  const schema = identifier(table.schema);
  const { source } = namesOf(table);
  return {
    name: 'claim_fresh_rows',
    text: `select case when fp_l.open then fp_f.fencepost else '=0 0 0 o' end as fencepost, (fp_f.fp_row).*
      from ${schema}.claim_look(${source}, ${limit >= largeClaim}, $6::bigint, ${hasNumbers(table)}, ${alone}) fp_l
      left join lateral ${schema}.claim_run(
        case when fp_l.open then $5 end, $7, $1::uuid, $2::integer, $3::integer, $4::text,
        fp_l.seen, fp_l.flight, fp_l.entries, fp_l.runs) as fp_f(fencepost text, fp_row ${table.rowType}) on true`,
    values: [
      ...[id, epoch, limit, tenant ?? null],
      ...[claiming(table, asked, false), tokenBefore(table, from)],
      from == null && hasSteps(table) ? claiming(table, asked, true) : null,
    ],
  };
}

/**
 * The statement that finds, by steps over runs or without them, locks and claims them. All that it takes is in one batch under one token, so what there is
 * to say of them besides the rows stands once, in front: of 13 us of processor time a row that leaves 8.
 */
function claiming(table: ClaimTable, { tenant, from }: Asked, bySteps: boolean): string {
  const { rowType, bare, key } = table;
  const { source, tenant: owner, key: name, tenantType } = namesOf(table);
  const wanted = filter(table, tenant, `$4::${tenantType}`);
  const free = {
    columns: `${owner} as fp_tenant, ${name} as fp_name, (${bare}.*)::${rowType} as fp_row`,
    condition: `${wanted} and ${unclaimed(table)}`,
    order: rowOrder(table),
    most: '$3::integer',
    lock: `for no key update of ${bare} skip locked`,
  };
  const last = `(select ${positionOf(table, '(fp_row)', (place) => table.order[place]?.name ?? '')}
          from (select fp_row from fencepost_picked offset cardinality(fp_n.names) - 1) fp_l limit 1)`;
  const { steps, rows } = bySteps
    ? rowsOverRuns(table, free, wanted, '$8')
    : { steps: '', rows: firstRows(table, free, from) };
  return `with ${steps && `recursive ${steps}, `}fencepost_picked as materialized (
        ${rows}
      ), fencepost_taken as materialized (
        select not fp_t.others as fp_given, case when fp_t.others then '=0 0 0 o' else concat(
          '=batch ${key.length} ', fp_t.token, ' ', coalesce(fp_t.taken::text, '-'), ' ', json_build_array(fp_n.names, ${from === undefined ? 'null' : last})) end as fp_head
        from (
          select array_agg(fp_tenant) as tenants, array_agg(fp_name) as names from fencepost_picked
        ) fp_n cross join lateral ${identifier(table.schema)}.claim_take_batch(
          $1, $2, ${source}, $5, fp_n.tenants, fp_n.names) fp_t
        where fp_n.names is not null
      )
      select fp_head, null::${rowType} from fencepost_taken
      union all
      select null, fp_row from fencepost_picked where (select fp_given from fencepost_taken)`;
}

/**
 * Nobody has it, as far as was seen. By the key alone: a row whose tenant was changed since is the same row. Of an array
 * that it does not know Postgres expects ten elements, so it hashes them however many there are: 1 us a row in flight,
 * where one of a run of numbers costs 0.2 (10,000 of them, PostgreSQL 18).
 */
function unclaimed(table: ClaimTable): string {
  const parts = table.types.map((_, place) => partOf('fp_k.key', table.types, place));
  const run = hasNumbers(table) ? `not ((${columnsOf(table)})::bigint <@ $8) and ` : '';
  return `${run}(${columnsOf(table)}) not in (select ${parts.join(', ')} from unnest($6) fp_k(key))
          and (not $7 or not ${hasEntry(table, 'fp_c.holder_id is not null')})`;
}
