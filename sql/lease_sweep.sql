-- Looks at the p_limit leases that follow a given one in the order of their keys, removes those that nobody has held for
-- p_age, and answers how many, and the last one that it looked at: nothing when there are no more. A removed row takes
-- its token along, so the floor for new rows is lifted to it in the same transaction. Places in queues whose process died
-- go as well: otherwise they would stay until somebody asks for the same lease again.
create or replace function lease_sweep(
  p_age interval, p_limit integer, p_tenant text, p_name text, p_slot integer,
  out swept integer, out last_tenant text, out last_name text, out last_slot integer)
language plpgsql volatile security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_before timestamptz := clock_timestamp() - p_age;
  v_tenants text[];
  v_names text[];
  v_slots integer[];
  v_floor bigint;
begin
  perform durable();
  select tenant, name, slot into last_tenant, last_name, last_slot
  from lease where (tenant, name, slot) > (p_tenant, p_name, p_slot)
  order by tenant, name, slot offset p_limit - 1 limit 1;

  -- FOR UPDATE looks again at what was changed meanwhile, and skips what is being changed or guarded. A holder that
  -- expired before then is dead for good, whether it was buried or not.
  select array_agg(u.tenant), array_agg(u.name), array_agg(u.slot) into v_tenants, v_names, v_slots
  from (
    select l.tenant, l.name, l.slot
    from lease l
    where (l.tenant, l.name, l.slot) > (p_tenant, p_name, p_slot)
      and (last_slot is null or (l.tenant, l.name, l.slot) <= (last_tenant, last_name, last_slot))
      and greatest(l.released_at, l.acquired_at) < v_before
      and (l.holder_id is null
           or coalesce(l.expires_at, (select h.expires_at from holder h where h.id = l.holder_id), '-infinity') < v_before)
    for update of l skip locked
  ) u;
  -- A crowded row says so for the other rows of its resource, and goes once they are gone. Whoever makes another one
  -- holds a lock on it meanwhile, so there are none but those that this statement sees. The gate of a barrier says who
  -- was let in, and goes once nobody has a place there: whoever comes later has a greater token than it.
  with removed as (
    delete from lease l using unnest(v_tenants, v_names, v_slots) u(tenant, name, slot)
    where l.tenant = u.tenant and l.name = u.name and l.slot = u.slot
      and not (l.crowded and exists (
        select from lease o where o.tenant = l.tenant and o.name = l.name and o.slot > 0))
      and not (l.crowded and starts_with(l.name, '["fencepost","barrier gate",') and exists (
        select from lease o where o.tenant = l.tenant
          and o.name = replace(l.name, '["fencepost","barrier gate",', '["fencepost","barrier",')))
    returning l.token
  )
  select count(*), max(token) into swept, v_floor from removed;
  if swept > 0 then
    -- After the rows, as next_token does it.
    update state set token_floor = v_floor where token_floor < v_floor;
  end if;

  delete from ticket t
  where (t.tenant, t.name) >= (p_tenant, p_name)
    and (last_slot is null or (t.tenant, t.name) <= (last_tenant, last_name))
    and not exists (select from holder h where h.id = t.holder_id and h.expires_at >= v_before);
end
$$;
