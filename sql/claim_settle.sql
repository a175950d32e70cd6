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
declare
  v_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  v_found tid[];
begin
  -- Looked up one by one: to join a table that was empty a moment ago, Postgres compares each claim with each key.
  -- coalesce leaves it no index but that of the key. Locked first: by its place a claim is found that nobody moves.
  v_found := array(
    select (
      select c.ctid from claim c
      where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key and c.token = a.token
        and coalesce(c.holder_id, v_nobody) <> v_nobody
      limit 1 for update)
    from unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token));
  return query delete from claim c where c.ctid = any (v_found) returning c.*;
end
$$;
