-- Gives claims back that still have this token. after: milliseconds until the row may be claimed again, negative sets
-- it aside. unused: the attempt does not count. A claim that then says nothing is gone.
create or replace function claim_return(
  p_source integer, p_tenants text[], p_keys text[], p_tokens bigint[], p_after float8[], p_errors text[],
  p_unused boolean[])
returns setof claim
language plpgsql volatile security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  v_now timestamptz := clock_timestamp();
begin
  -- In the order of claim_take.
  perform from claim c, unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token)
  where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key and c.token = a.token
  order by c.tenant, c.key for no key update of c;
  return query
  update claim c set
    holder_id = case when a.after = 0 then null else v_nobody end,
    due = case when a.after < 0 then 'infinity' else v_now + a.after * interval '1 millisecond' end,
    attempts = c.attempts - a.unused::integer,
    error = coalesce(nullif(a.error, ''), c.error)
  from unnest(p_tenants, p_keys, p_tokens, p_after, p_errors, p_unused) a(tenant, key, token, after, error, unused)
  where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key and c.token = a.token
    and c.holder_id <> v_nobody
  returning c.*;
  delete from claim c using unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token)
  where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key and c.token = a.token
    and c.holder_id is null and c.attempts = 0 and c.error is null;
end
$$;
