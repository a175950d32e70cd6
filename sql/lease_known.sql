-- Which of these (counted from 1) the holder has, with exactly these tokens.
create or replace function lease_known(
  p_holder uuid, p_tenants text[], p_names text[], p_slots integer[], p_tokens bigint[])
returns integer[]
language plpgsql stable security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return array(
    select a.ord
    from unnest(p_tokens) with ordinality a(token, ord)
    where p_holder = (
      select l.holder_id from lease l
      where l.tenant = p_tenants[a.ord] and l.name = p_names[a.ord] and l.slot = p_slots[a.ord] and l.token = a.token));
end
$$;
