-- What claims of this table are kept under. All its claims name their rows alike, by these columns and by this column
-- of the tenant: two that named one row differently would not exclude each other. While there are none it may change.
create or replace function claim_source(p_relation regclass, p_key text[], p_tenant text) returns integer
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_source claim_source;
begin
  select * into v_source from claim_source s where s.relation = p_relation;
  if v_source.key = p_key and v_source.tenant is not distinct from p_tenant then
    return v_source.id;
  end if;
  -- Whoever is about to claim under the old names ends before, or finds them gone.
  lock table claim_batch, claim in share row exclusive mode;
  delete from claim_batch b using claim_source s
  where b.source_id = s.id and not exists (select from pg_class r where r.oid = s.relation);
  delete from claim c using claim_source s
  where c.source_id = s.id and not exists (select from pg_class r where r.oid = s.relation);
  delete from claim_source s
  where not exists (select from pg_class r where r.oid = s.relation)
    or s.relation = p_relation and not exists (select from claim c where c.source_id = s.id)
      and not exists (select from claim_batch b where b.source_id = s.id)
      and (s.key <> p_key or s.tenant is distinct from p_tenant);
  insert into claim_source (relation, key, tenant) values (p_relation, p_key, p_tenant) on conflict do nothing;
  select * into v_source from claim_source s where s.relation = p_relation;
  if v_source.key <> p_key or v_source.tenant is distinct from p_tenant then
    raise exception 'the claims of % name its rows by % and the tenant by %', p_relation,
      array_to_string(v_source.key, ', '), coalesce(v_source.tenant, 'nothing') using errcode = 'FP005';
  end if;
  return v_source.id;
end
$$;
