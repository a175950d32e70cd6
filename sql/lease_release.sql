-- Frees leases that this holder has with exactly these tokens, and wakes who waits for them; answers which (counted
-- from 1) it found so. The nonce stays: a guard may still be open.
--
-- p_early: who waits is woken before the release is on the disk; p_awaited: so is who waits for the answer. They lose
-- nothing by it: the log is written in order, so no grant to them is there without the release. But it counts only after
-- flush(), where unflushed says so.
create or replace function lease_release(
  p_holder uuid, p_tenants text[], p_names text[], p_slots integer[], p_tokens bigint[], p_early boolean default false,
  p_awaited boolean default false, out released integer[], out unflushed boolean)
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
  v_tenants text[];
  v_names text[];
  v_now timestamptz := clock_timestamp();
begin
  perform durable();
  with freed as (
    update lease l set holder_id = null, expires_at = null, released_at = v_now
    from unnest(p_tokens) with ordinality a(token, ord)
    where l.tenant = p_tenants[a.ord] and l.name = p_names[a.ord] and l.slot = p_slots[a.ord]
      and l.token = a.token and l.holder_id = p_holder
      -- Always true: the planner expects one row and looks it up, instead of a small table scanned for all.
      and a.ord between 1 and cardinality(p_tokens)
    returning a.ord::integer, l.wanted
  )
  select array_agg(f.ord), array_agg(p_tenants[f.ord]) filter (where f.wanted),
         array_agg(p_names[f.ord]) filter (where f.wanted)
  into released, v_tenants, v_names from freed f;
  if p_early and (v_tenants is not null or p_awaited) then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  if v_tenants is not null then
    perform wake(v_tenants, v_names);
  end if;
  -- What is not found may have been released by the same call, whose answer was lost.
  released := coalesce(released, '{}');
  unflushed := p_early and (v_tenants is not null or p_awaited or cardinality(released) < cardinality(p_names));
end
$$;
