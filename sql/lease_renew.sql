-- Gives leases with a fixed expiry another term, counted from now; answers which (counted from 1) it found unexpired
-- and still this holder's, with exactly these tokens.
create or replace function lease_renew(
  p_holder uuid, p_term interval, p_tenants text[], p_names text[], p_slots integer[], p_tokens bigint[])
returns integer[]
language plpgsql volatile security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
set enable_memoize = off
set jit = off
as $$
declare
  v_locked integer[];
  v_now timestamptz;
  v_renewed integer[];
begin
  perform durable();
  select array_agg(f.ord::integer) into v_locked
  from (
    select a.ord
    from unnest(p_tokens) with ordinality a(token, ord)
    join lease l on l.tenant = p_tenants[a.ord] and l.name = p_names[a.ord] and l.slot = p_slots[a.ord]
    where l.token = a.token and l.holder_id = p_holder
      -- Always true, here and below: the planner expects one row and looks it up, instead of a small table scanned for all.
      and a.ord between 1 and cardinality(p_tokens)
    for no key update of l
  ) f;
  v_now := clock_timestamp();  -- after the locks: the wait for them must not count as life
  with renewed as (
    update lease l set expires_at = v_now + p_term
    from unnest(v_locked) f(ord)
    where l.tenant = p_tenants[f.ord] and l.name = p_names[f.ord] and l.slot = p_slots[f.ord]
      and f.ord between 1 and cardinality(p_tokens) and l.expires_at > v_now and not l.revoked
    returning f.ord
  )
  select array_agg(ord) into v_renewed from renewed;
  return coalesce(v_renewed, '{}');
end
$$;
