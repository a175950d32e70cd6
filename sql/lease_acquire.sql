-- Takes each asked lease that is free, for one holder, in one transaction; what is held is left alone.
--
-- p_term null: the leases live as long as the holder. Otherwise each gets a fixed expiry of its own, and the holder
-- only has to live now. Asked again with the same nonce, a lease that was granted is answered with the same token.
-- granted and tokens go together; so do held and held_for (milliseconds until the present holder expires unless it
-- is renewed; 0 or less, or null: it has expired, and something else keeps the lease). Both count from 1 in the order of the arguments. What stands in neither is being changed right now.
create or replace function lease_acquire(
  p_holder uuid, p_epoch integer, p_term interval, p_tenants text[], p_names text[], p_nonces uuid[],
  out granted integer[], out tokens bigint[], out held integer[], out held_for integer[])
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
  v_holder holder;
  v_now timestamptz;
  v_free integer[];
  v_tenants text[];
  v_names text[];
  v_free_slots integer[];
  v_nonces uuid[];
  v_blockers uuid[];
  v_live uuid[];
  v_token bigint;
  v_floor bigint;
  v_missing integer[];
begin
  perform durable();

  for v_round in 1..2 loop
    -- A lease that is plainly held is not locked: a failed try writes nothing. One that a guard holds KEY SHARE on
    -- is skipped, whatever became of its holder.
    v_now := clock_timestamp();
    select array_agg(f.ord), array_agg(f.tenant), array_agg(f.name), array_agg(f.slot), array_agg(f.nonce),
           array_agg(f.holder_id) filter (where f.holder_id is not null and f.expires_at is null)
    into v_free, v_tenants, v_names, v_free_slots, v_nonces, v_blockers
    from (
      select a.ord, a.tenant, a.name, a.slot, a.nonce, l.holder_id, l.expires_at
      from unnest(p_tenants, p_names, v_slots, p_nonces) with ordinality a(tenant, name, slot, nonce, ord)
      join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot
      where l.holder_id is null
         or coalesce(l.expires_at, (select h.expires_at from holder h where h.id = l.holder_id), '-infinity') <= v_now
      for update of l skip locked
    ) f;

    if v_free is not null then
      -- KEY SHARE keeps a takeover from burying this holder before the commit, and lets its heartbeat pass.
      if v_holder.id is null then
        select * into v_holder from holder where id = p_holder for key share;
        if v_holder.expires_at is null or v_holder.expires_at <= clock_timestamp() then
          raise exception 'holder % has expired', p_holder using errcode = 'FP002';
        elsif v_holder.epoch <> p_epoch then
          raise exception 'holder % has moved on to epoch %', p_holder, v_holder.epoch using errcode = 'FP003';
        end if;
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
            holder_id = p_holder, nonce = f.nonce, acquired_at = v_now, expires_at = v_now + p_term
        from unnest(v_free, v_tenants, v_names, v_free_slots, v_nonces) f(ord, tenant, name, slot, nonce)
        where l.tenant = f.tenant and l.name = f.name and l.slot = f.slot
          and (l.expires_at is not null or l.holder_id is null or l.holder_id <> all (v_live))
        returning f.ord, l.token
      )
      select coalesce(granted, '{}') || array_agg(ord::integer), coalesce(tokens, '{}') || array_agg(token)
      into granted, tokens from taken;
      exit when cardinality(granted) = v_asked;
    end if;

    select array_agg(s.ord) filter (where s.missing),
           array_agg(s.ord) filter (where s.mine), array_agg(s.token) filter (where s.mine),
           array_agg(s.ord) filter (where s.theirs), array_agg(s.left_ms) filter (where s.theirs)
    into v_missing, granted, tokens, held, held_for
    from (
      select a.ord::integer, l.token, l.tenant is null as missing,
             coalesce(l.holder_id = p_holder and l.nonce = a.nonce, false) as mine,
             l.holder_id is not null and (l.holder_id <> p_holder or l.nonce <> a.nonce) as theirs,
             least(ceil(extract(epoch from coalesce(l.expires_at, h.expires_at) - v_now) * 1000), 2147483647)::integer
               as left_ms
      from unnest(p_tenants, p_names, v_slots, p_nonces) with ordinality a(tenant, name, slot, nonce, ord)
      left join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot
      left join holder h on h.id = l.holder_id and l.expires_at is null
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
end
$$;
