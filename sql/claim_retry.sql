-- Forgets that rows wait for another attempt, or were set aside; answers how many.
create or replace function claim_retry(p_source integer, p_tenants text[], p_keys text[]) returns bigint
language sql volatile security definer
set search_path from current
as $$
  with retried as (
    delete from claim c using unnest(p_tenants, p_keys) a(tenant, key)
    where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key
      and c.holder_id = '00000000-0000-0000-0000-000000000000'
    returning 1)
  select count(*) from retried
$$;
