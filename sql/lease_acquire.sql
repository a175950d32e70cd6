-- Takes each asked lease that is free, for one holder, in one transaction; what is held is left alone.
--
-- p_term null: the leases live as long as the holder. Otherwise each gets a fixed expiry of its own, and the holder
-- only has to live now. Asked again with the same nonce, a lease that was granted is answered with the same token.
-- p_wants: whether the caller will wait, so that whoever releases the lease wakes it up. p_limits, p_totals, p_shared
-- and p_fair are for what lease_take decides, one resource at a time; all else is decided for all leases at once.
--
-- granted, tokens and slots go together, and so do total_slots and total_tokens where a total was asked for; so do held
-- and held_for (milliseconds until the present holder expires unless it is renewed; 0 or less, or null: it has expired,
-- and something else keeps the lease). All count from 1 in the order of the arguments. What stands in neither is being
-- changed right now. queued: those that have a place in a queue, which they are to give up when they wait no more.
create or replace function lease_acquire(
  p_holder uuid, p_epoch integer, p_term interval, p_tenants text[], p_names text[], p_nonces uuid[],
  p_wants boolean[] default null, p_metadata text[] default null, p_limits integer[] default null,
  p_totals integer[] default null, p_shared boolean[] default null, p_fair boolean[] default null,
  out granted integer[], out tokens bigint[], out slots integer[], out total_slots integer[],
  out total_tokens bigint[], out held integer[], out held_for integer[], out queued integer[])
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
  v_asked integer := cardinality(p_names);
  -- An array like the others, not a constant: a constant alone would let the planner scan the index for it.
  v_slots integer[] := array_fill(0, array[cardinality(p_names)]);
  -- Of the asks, those that lease_take decides.
  v_special boolean[];
  v_holder holder;
  v_now timestamptz;
  v_free integer[];
  v_places tid[];
  v_blockers uuid[];
  v_live uuid[];
  v_token bigint;
  v_floor bigint;
  v_missing integer[];
  v_crowded integer[];
  v_marked integer[];
  v_alike record;
  v_taken record;
begin
  perform durable();
  if p_limits is not null then
    v_special := array(
      select coalesce(l <> 1 or t is not null or s or f, false)
      from unnest(p_limits, p_totals, p_shared, p_fair) with ordinality a(l, t, s, f, ord) order by ord);
  end if;

  for v_round in 1..2 loop
    exit when true = all (v_special);
    -- A lease that is plainly held is not locked: a failed try writes nothing. One that a guard holds KEY SHARE on
    -- is skipped, whatever became of its holder.
    v_now := clock_timestamp();
    select array_agg(f.ord), array_agg(f.ctid),
           array_agg(f.holder_id) filter (where f.holder_id is not null and f.expires_at is null)
    into v_free, v_places, v_blockers
    from (
      select a.ord, l.ctid, l.holder_id, l.expires_at
      from generate_series(1, v_asked) a(ord)
      -- Looked up one by one, however small the table was when this was planned: a join may scan it for all of them.
      cross join lateral (
        select l.ctid, l.holder_id, l.expires_at
        from lease l
        where l.tenant = p_tenants[a.ord] and l.name = p_names[a.ord] and l.slot = v_slots[a.ord]
          and (l.holder_id is null
           or coalesce(l.expires_at, (select h.expires_at from holder h where h.id = l.holder_id), '-infinity') <= v_now)
          and not l.crowded
        for update of l skip locked
      ) l
      where v_special[a.ord] is not true
    ) f;

    if v_free is not null then
      if v_holder.id is null then
        v_holder := holder_check(p_holder, p_epoch);
      end if;

      -- The rows cannot change any more, but what the search above saw of their holders is older than the locks.
      -- So each holder is looked at again, buried under its own lock if it has expired, and blocks if it is there.
      v_live := '{}';
      v_now := clock_timestamp();
      if v_blockers is not null then
        delete from holder where id in (
          select id from holder where id = any (v_blockers) and expires_at <= v_now order by id
          for update skip locked);
        v_live := array(select id from holder where id = any (v_blockers));
      end if;

      v_token := next_token();
      select token_floor + 1 into v_floor from state;
      with taken as (
        update lease l
        set token = greatest(v_token, v_floor, l.token + 1),
            holder_id = p_holder, nonce = p_nonces[v_free[f.n]], acquired_at = v_now, expires_at = v_now + p_term,
            wanted = false, shared = false, revoked = false, metadata = p_metadata[v_free[f.n]]::jsonb
        from generate_series(1, cardinality(v_free)) f(n)
        where l.ctid = v_places[f.n]  -- locked, so it stays there
          and (l.expires_at is not null or l.holder_id is null or l.holder_id <> all (v_live))
        returning v_free[f.n] as ord, l.token
      )
      select coalesce(granted, '{}') || array_agg(ord), coalesce(tokens, '{}') || array_agg(token)
      into granted, tokens from taken;
      exit when cardinality(granted) = v_asked;
    end if;

    select array_agg(s.ord) filter (where s.missing), array_agg(s.ord) filter (where s.crowded),
           array_agg(s.ord) filter (where s.mine), array_agg(s.token) filter (where s.mine),
           array_agg(s.ord) filter (where s.theirs), array_agg(s.left_ms) filter (where s.theirs)
    into v_missing, v_crowded, granted, tokens, held, held_for
    from (
      select a.ord::integer, l.token, l.tenant is null as missing,
             coalesce(l.crowded and (l.holder_id is distinct from p_holder or l.nonce <> a.nonce), false) as crowded,
             coalesce(l.holder_id = p_holder and l.nonce = a.nonce, false) as mine,
             l.holder_id is not null and (l.holder_id <> p_holder or l.nonce <> a.nonce) and not l.crowded as theirs,
             least(ceil(extract(epoch from coalesce(l.expires_at, h.expires_at) - v_now) * 1000), 2147483647)::integer
               as left_ms
      from unnest(p_nonces) with ordinality a(nonce, ord)
      left join lease l on l.tenant = p_tenants[a.ord] and l.name = p_names[a.ord] and l.slot = v_slots[a.ord]
      left join holder h on h.id = l.holder_id and l.expires_at is null
      where v_special[a.ord] is not true
    ) s;
    exit when v_missing is null or v_round = 2;

    -- Free rows with no token of their own: it is drawn in the second round, once they are there and locked.
    -- Sorted, so that two processes that create the same rows do not wait for each other in a circle.
    insert into lease (tenant, name)
    select a.tenant, a.name
    from unnest(p_tenants, p_names) with ordinality a(tenant, name, ord)
    where a.ord = any (v_missing)
    order by a.tenant, a.name
    on conflict do nothing;
  end loop;

  -- `between` is always true: the planner expects one row and looks it up, instead of a small table scanned for all.
  -- Whoever will wait is woken by the release only if the lease says so, and it can say so only as long as it is held:
  -- one that is released meanwhile is in neither list, and asked for again at once.
  if held is not null and true = any (p_wants) then
    with waiting as (
      select a.ord, l.tenant, l.name, l.slot, l.wanted
      from unnest(held) a(ord)
      join lease l on l.tenant = p_tenants[a.ord] and l.name = p_names[a.ord] and l.slot = v_slots[a.ord]
      where p_wants[a.ord] and a.ord between 1 and v_asked and l.holder_id is not null
      for no key update of l skip locked
    ), marked as (
      update lease l set wanted = true
      from waiting w
      where l.tenant = w.tenant and l.name = w.name and l.slot = w.slot and not w.wanted
    )
    select array_agg(ord) into v_marked from waiting;
    select array_agg(h.ord), array_agg(h.left_ms) into held, held_for
    from unnest(held, held_for) h(ord, left_ms)
    where p_wants[h.ord] is not true or h.ord = any (v_marked);
  end if;

  slots := array_fill(0, array[coalesce(cardinality(granted), 0)]);
  total_slots := array_fill(null::integer, array[cardinality(slots)]);
  total_tokens := array_fill(null::bigint, array[cardinality(slots)]);
  if v_special is null and v_crowded is null then
    return;
  end if;
  for v_alike in
    select a.tenant, a.name, coalesce(a.most, 1) as most, a.total, coalesce(a.shared, false) as shared,
           coalesce(a.fair, false) as fair, array_agg(a.ord::integer order by a.ord) as asks,
           array_agg(a.nonce order by a.ord) as nonces, array_agg(coalesce(a.wants, false) order by a.ord) as wants,
           array_agg(a.metadata order by a.ord) as metadata
    from unnest(p_tenants, p_names, p_nonces, p_wants, p_metadata, p_limits, p_totals, p_shared, p_fair)
      with ordinality a(tenant, name, nonce, wants, metadata, most, total, shared, fair, ord)
    where v_special[a.ord] or a.ord = any (v_crowded)
    -- Readers, and those with a place in a queue, each for themselves.
    group by 1, 2, 3, 4, 5, 6, case
      when a.shared or a.fair or exists (select from ticket t where t.tenant = a.tenant and t.name = a.name) then a.ord end
    order by 1, 2, min(a.ord)
  loop
    v_taken := lease_take(
      p_holder, p_epoch, p_term, v_alike.tenant, v_alike.name, v_alike.asks, v_alike.nonces, v_alike.wants,
      v_alike.metadata, v_alike.most, v_alike.total, v_alike.shared, v_alike.fair);
    granted := granted || v_taken.granted;
    tokens := tokens || v_taken.tokens;
    slots := slots || v_taken.slots;
    total_slots := total_slots || v_taken.total_slots;
    total_tokens := total_tokens || v_taken.total_tokens;
    held := held || v_taken.held;
    held_for := held_for || array_fill(v_taken.held_for, array[coalesce(cardinality(v_taken.held), 0)]);
    queued := queued || v_taken.queued;
  end loop;
end
$$;
