-- Claimed rows by table, tenant and state, of all tables that the caller may read: 'claimed' by a process that lives,
-- 'left' by one that died, 'waiting' for another attempt, 'aside'. tenant is null where the table has none, or none
-- that its indexes tell of. Rows that nobody has are not counted, and of each table at most p_most. A table that is being
-- altered is waited for a second.
create or replace function claim_counts(p_most integer default 100000)
returns table (relation regclass, tenant text, state text, count bigint)
language plpgsql volatile
set search_path from current
set lock_timeout = '1s'
as $$
declare
  v_table record;
begin
  return query
  select s.relation::regclass, case when s.tenant is not null then c.tenant end, c.state, count(*)
  from claim_sources s, lateral (
    select k.tenant, claim_state(k.holder_id, h.alive, k.due) as state
    from claims k left join holders h on h.id = k.holder_id
    where k.source_id = s.id and k.holder_id is not null limit p_most) c
  where has_table_privilege(s.relation, 'select')
  group by 1, 2, 3;
  for v_table in
    -- Of the two indexes that claims of a tenant walk, one is the other with the tenant before it.
    with free as (
      select i.indrelid, pg_get_expr(i.indpred, i.indrelid) as where, i.indkey::integer[] as columns
      from pg_index i where i.indpred is not null and i.indexprs is null and i.indisvalid)
    select r.oid, (
      select a.attname from free b join free w on w.indrelid = b.indrelid and w.where = b.where
      join pg_attribute a on a.attrelid = b.indrelid and a.attnum = w.columns[0]
      where b.indrelid = r.oid and b.where like '%(fencepost_holder IS NULL)%'
        and array_length(w.columns, 1) = array_length(b.columns, 1) + 1
        and array_to_string(w.columns, ' ') = w.columns[0] || ' ' || array_to_string(b.columns, ' ')
      limit 1) as tenant
    from pg_class r
    where r.relkind in ('r', 'p') and has_table_privilege(r.oid, 'select') and 2 = (
      select count(*) from pg_attribute a
      where a.attrelid = r.oid and a.attname in ('fencepost_holder', 'fencepost_due') and not a.attisdropped)
  loop
    return query execute format(
      'select %L::regclass, %s, claim_state(c.holder, h.alive, c.due), count(*)
       from (select %s as tenant, fencepost_holder as holder, fencepost_due as due from %s
             where fencepost_holder is not null limit $1) c
       left join holders h on h.id = c.holder group by 2, 3',
      v_table.oid::regclass, case when v_table.tenant is null then 'null::text' else 'c.tenant' end,
      case when v_table.tenant is null then 'null::text' else quote_ident(v_table.tenant) || '::text' end,
      v_table.oid::regclass) using p_most;
  end loop;
end
$$;
