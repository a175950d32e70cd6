-- Locks rows of the resource that can be granted now, p_count of them or fewer, and answers their slots in order. There
-- are fewer when the rest is held, or is being changed right now.
--
-- At most p_limit are held at any time, whatever the limits were with which others asked; a shared one goes along with
-- any number of shared ones. A row whose nonce is null is clean: nobody has had it since it was last found free under
-- FOR UPDATE, so no guard can be open on it. Released and abandoned rows are not clean, and count as held until they
-- could be locked.
--
-- What was found in the way, before anything was locked: unmarked are the held ones whose release would wake nobody,
-- held_until is when the first expires, changing says that others are at work on free ones, and told whether the
-- release of what they take will wake somebody all the same.
create or replace function lease_pick(
  p_tenant text, p_name text, p_limit integer, p_shared boolean, p_count integer,
  out slots integer[], out unmarked integer[], out held_until timestamptz, out changing boolean, out told boolean,
  out readers boolean)
language plpgsql volatile
set search_path from current
as $$
declare
  v_now timestamptz;
  v_first integer := case when p_shared then 1 else 0 end;
  -- Readers have no limit.
  v_limit integer := case when p_shared then 2147483647 else p_limit end;
  v_slots integer[];
  v_rows integer;
  v_free integer;
  v_over integer;
  v_live uuid[];
  v_dead uuid[];
  v_blockers uuid[];
  v_more integer;
begin
  for v_round in 1..4 loop
    v_now := clock_timestamp();
    select count(*) filter (where s.usable), count(*) filter (where s.usable and s.free),
           coalesce(bool_and(s.stays) filter (where s.usable and s.free), true),
           coalesce(array_agg(s.id) filter (where s.expires_at > v_now), '{}'),
           array_agg(s.id) filter (where s.expires_at <= v_now),
           array_agg(s.slot) filter (where s.held and not s.wanted), min(s.expires_at) filter (where s.held),
           coalesce(bool_or(s.shared and s.held and s.slot > 0), false)
    into v_rows, v_free, told, v_live, v_dead, unmarked, held_until, readers
    from (
      select l.slot, l.slot >= v_first and l.slot < v_limit as usable, l.holder_id is not null as held, l.wanted,
             l.shared, h.id, coalesce(l.expires_at, h.expires_at) as expires_at,
             l.holder_id is null or coalesce(l.expires_at, h.expires_at, '-infinity') <= v_now as free,
             lease_stays_wanted(l.wanted, l.token) as stays
      from lease l left join holder h on h.id = l.holder_id and l.expires_at is null
      where l.tenant = p_tenant and l.name = p_name) s;
    changing := v_free > 0;
    exit when p_count = 0;

    -- The dead are buried under their own lock: from then on whoever is not there is dead for good.
    if v_dead is not null then
      delete from holder where id in (
        select id from holder where id = any (v_dead) and expires_at <= v_now order by id for update skip locked);
    end if;

    if p_shared and v_round = 1 then
      -- The row of slot 0 is a writer's. KEY SHARE on it keeps writers out until the commit, and other readers in.
      perform lease_crowd(p_tenant, p_name);
      select (l.nonce is not null)::integer into v_over from lease l
      where l.tenant = p_tenant and l.name = p_name and l.slot = 0 for key share skip locked;
      if v_over is null or (v_over = 1 and lease_clean(p_tenant, p_name, array[0]) = 0) then
        return;
      end if;
      if exists (
        select from lease l
        where l.tenant = p_tenant and l.name = p_name and l.slot > 0 and l.nonce is not null and not l.shared
          and not lease_free(l.holder_id, l.expires_at))
      then
        return;
      end if;
    end if;

    if v_free > 0 then
      select array_agg(f.slot), array_agg(f.holder_id) filter (where f.holder_id is not null and f.expires_at is null)
      into slots, v_blockers
      from (
        select l.slot, l.holder_id, l.expires_at from lease l
        where l.tenant = p_tenant and l.name = p_name and l.slot >= v_first and l.slot < v_limit
          and (l.holder_id is null
               or case when l.expires_at is null then l.holder_id <> all (v_live) else l.expires_at <= v_now end)
        order by l.slot limit p_count for update skip locked) f;
      -- What was seen of their holders is older than the locks.
      if v_blockers is not null then
        slots := array(
          select l.slot from lease l
          where l.tenant = p_tenant and l.name = p_name and l.slot = any (slots)
            and (l.holder_id is null or l.expires_at is not null
                 or not exists (select from holder h where h.id = l.holder_id))
          order by l.slot);
      end if;
      changing := v_free > coalesce(cardinality(slots), 0);
    end if;
    v_more := p_count - coalesce(cardinality(slots), 0);
    exit when v_more = 0 or v_first + v_rows >= v_limit;

    if v_first + v_rows = 0 then
      v_more := 1;
    else
      -- Before there is another row, and locked until then: a sweep removes a crowded row that has no others.
      perform lease_crowd(p_tenant, p_name);
      perform from lease l where l.tenant = p_tenant and l.name = p_name and l.slot = 0 for key share skip locked;
      if not found then
        changing := true;
        told := false;
        exit;
      end if;
    end if;
    insert into lease (tenant, name, slot)
    select p_tenant, p_name, s.slot from generate_series(v_first, least(v_first + v_rows + v_more, v_limit) - 1) s(slot)
    where not exists (
      select from lease l where l.tenant = p_tenant and l.name = p_name and l.slot = s.slot)
    order by s.slot limit v_more
    on conflict do nothing;
  end loop;
  if p_shared or coalesce(cardinality(slots), 0) = 0 then
    return;
  end if;

  -- Slots beyond the limit: of a greater one that others asked with, or of readers.
  select array_agg(l.slot) into v_slots from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot >= p_limit and l.nonce is not null;
  if v_slots is null then
    return;
  end if;
  perform lease_clean(p_tenant, p_name, v_slots);
  select count(*) into v_over from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot >= p_limit and l.nonce is not null;
  if v_over = 0 then
    return;
  end if;
  select array_agg(l.slot), count(*) into v_slots, v_rows from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot < p_limit;
  v_free := lease_clean(p_tenant, p_name, v_slots);
  slots := slots[1:p_limit - (v_over + v_rows - v_free)];
end
$$;
