-- Locks a row of the resource that can be granted now, and answers its slot; null when there is none, or when what is
-- in the way is being changed right now.
--
-- At most p_limit are held at any time, whatever the limits were with which others asked; a shared one goes along with
-- any number of shared ones. A row whose nonce is null is clean: nobody has had it since it was last found free under
-- FOR UPDATE, so no guard can be open on it. Released and abandoned rows are not clean, and count as held until they
-- could be locked.
create or replace function lease_pick(p_tenant text, p_name text, p_limit integer, p_shared boolean) returns integer
language plpgsql volatile
set search_path from current
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_first integer := case when p_shared then 1 else 0 end;
  -- Readers have no limit.
  v_limit integer := case when p_shared then 2147483647 else p_limit end;
  v_slot integer;
  v_slots integer[];
  v_rows integer;
  v_over integer;
  v_free integer;
begin
  -- The dead are buried under their own lock: from then on whoever is not there is dead for good.
  delete from holder where id in (
    select h.id from holder h
    where h.expires_at <= v_now and h.id in (
      select l.holder_id from lease l
      where l.tenant = p_tenant and l.name = p_name and l.holder_id is not null and l.expires_at is null)
    order by h.id for update skip locked);

  if p_shared then
    -- The row of slot 0 is a writer's. KEY SHARE on it keeps writers out until the commit, and other readers in.
    perform lease_crowd(p_tenant, p_name);
    select (l.nonce is not null)::integer into v_over from lease l
    where l.tenant = p_tenant and l.name = p_name and l.slot = 0 for key share skip locked;
    if v_over is null or (v_over = 1 and lease_clean(p_tenant, p_name, array[0]) = 0) then
      return null;
    end if;
    if exists (
      select from lease l
      where l.tenant = p_tenant and l.name = p_name and l.slot > 0 and l.nonce is not null and not l.shared
        and not lease_free(l.holder_id, l.expires_at))
    then
      return null;
    end if;
  end if;

  for v_try in 1..4 loop
    select l.slot into v_slot from lease l
    where l.tenant = p_tenant and l.name = p_name and l.slot >= v_first and l.slot < v_limit
      and lease_free(l.holder_id, l.expires_at)
    order by l.slot limit 1 for update skip locked;
    exit when found and lease_clean(p_tenant, p_name, array[v_slot]) = 1;
    v_slot := null;

    select count(*) into v_rows from lease l
    where l.tenant = p_tenant and l.name = p_name and l.slot >= v_first and l.slot < v_limit;
    exit when v_first + v_rows >= v_limit;
    if v_first + v_rows > 0 then
      -- Before there is another row, and locked until then: a sweep removes a crowded row that has no others.
      perform lease_crowd(p_tenant, p_name);
      perform from lease l where l.tenant = p_tenant and l.name = p_name and l.slot = 0 for key share skip locked;
      if not found then
        return null;
      end if;
    end if;
    insert into lease (tenant, name, slot)
    select p_tenant, p_name, min(s.slot) from generate_series(v_first, v_first + v_rows) s(slot)
    where not exists (
      select from lease l where l.tenant = p_tenant and l.name = p_name and l.slot = s.slot)
    having count(*) > 0  -- others may have made them since they were counted
    on conflict do nothing;
  end loop;
  if v_slot is null or p_shared then
    return v_slot;
  end if;

  -- Slots beyond the limit: of a greater one that others asked with, or of readers.
  select array_agg(l.slot) into v_slots from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot >= p_limit and l.nonce is not null;
  if v_slots is null then
    return v_slot;
  end if;
  perform lease_clean(p_tenant, p_name, v_slots);
  select count(*) into v_over from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot >= p_limit and l.nonce is not null;
  if v_over = 0 then
    return v_slot;
  end if;
  select array_agg(l.slot), count(*) into v_slots, v_rows from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot < p_limit;
  v_free := lease_clean(p_tenant, p_name, v_slots);
  return case when v_over + v_rows - v_free < p_limit then v_slot end;
end
$$;
