-- Ends claims of rows that the calling transaction has locked and completes: those that still have this token.
create or replace function claim_settle(p_source integer, p_tenants text[], p_keys text[], p_tokens bigint[])
returns setof claim
language plpgsql volatile security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return query
  delete from claim c
  using unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token)
  where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key and c.token = a.token
    and c.holder_id <> '00000000-0000-0000-0000-000000000000'
  returning c.*;
end
$$;
