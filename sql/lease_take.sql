-- Asks of lease_acquire for one resource, alike but for their nonces, that take more than a look at one row: slots,
-- readers and writers, places in a queue. The first of them come first.
--
-- p_asks are their places in lease_acquire, by which granted, held and queued name them as those do there. What stands
-- in neither granted nor held is being changed right now: whoever waits for it could not be noted down on all that is in
-- the way. held_for: how soon it is worth to look again, if nobody tells.
create or replace function lease_take(
  p_holder uuid, p_epoch integer, p_term interval, p_tenant text, p_name text, p_asks integer[], p_nonces uuid[],
  p_wants boolean[], p_metadata text[], p_limit integer, p_total integer, p_shared boolean, p_fair boolean,
  out granted integer[], out tokens bigint[], out slots integer[], out total_slots integer[],
  out total_tokens bigint[], out held integer[], out held_for integer, out queued integer[])
language plpgsql volatile
set search_path from current
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_queue boolean;
  v_again boolean;
  v_ticket bigint;
  v_ahead bigint := 0;
  v_got integer;
  v_waits boolean;
  v_more boolean := false;
  v_full_tenant text := p_tenant;
  v_own record;
  v_all record;
  v_way record;
  v_token bigint;
  v_seen bigint;
  v_told boolean := true;
  v_until timestamptz;
begin
  select exists (select from ticket t where t.tenant = p_tenant and t.name = p_name),
         exists (
           select from lease l
           where l.tenant = p_tenant and l.name = p_name and l.holder_id = p_holder and l.nonce = any (p_nonces))
  into v_queue, v_again;

  -- Asked before: the answer was lost on its way.
  if v_again then
    select array_agg(a.ask), array_agg(l.token), array_agg(l.slot), array_agg(o.slot), array_agg(o.token)
    into granted, tokens, slots, total_slots, total_tokens
    from unnest(p_asks, p_nonces) a(ask, nonce)
    join lease l on l.tenant = p_tenant and l.name = p_name and l.holder_id = p_holder and l.nonce = a.nonce
    left join lease o
      on p_total is not null and o.tenant = '' and o.name = p_name and o.holder_id = p_holder and o.nonce = a.nonce;
    select array_agg(a.ask order by a.ord), array_agg(a.nonce order by a.ord), array_agg(a.wants order by a.ord),
           array_agg(a.metadata order by a.ord)
    into p_asks, p_nonces, p_wants, p_metadata
    from unnest(p_asks, p_nonces, p_wants, p_metadata) with ordinality a(ask, nonce, wants, metadata, ord)
    where a.ask <> all (granted);
    if p_asks is null then
      return;
    end if;
  end if;

  -- Whoever stands before this one in the queue and lives. Readers do not stand in each other's way.
  v_got := cardinality(p_asks);
  if v_queue then
    delete from holder where id in (
      select h.id from holder h
      where h.expires_at <= v_now
        and h.id in (select t.holder_id from ticket t where t.tenant = p_tenant and t.name = p_name)
      order by h.id for update skip locked);
    delete from ticket t
    where t.tenant = p_tenant and t.name = p_name and not exists (select from holder h where h.id = t.holder_id);
    select min(t.id) into v_ticket from ticket t where t.nonce = any (p_nonces);
    select count(*), min(h.expires_at) into v_ahead, v_until
    from ticket t join holder h on h.id = t.holder_id
    where t.tenant = p_tenant and t.name = p_name and (v_ticket is null or t.id < v_ticket)
      and h.expires_at > v_now and not (p_shared and t.shared);
    if v_ahead > 0 then
      v_got := case when p_limit = 1 then 0
                    else greatest(least(v_got, lease_room(p_tenant, p_name, p_limit) - v_ahead), 0) end;
    end if;
  end if;

  v_own := lease_pick(p_tenant, p_name, p_limit, p_shared, v_got);
  v_way := v_own;
  v_got := coalesce(cardinality(v_own.slots), 0);
  if v_got > 0 and p_total is not null then
    v_all := lease_pick('', p_name, p_total, false, v_got);
    if coalesce(cardinality(v_all.slots), 0) < v_got then
      v_got := coalesce(cardinality(v_all.slots), 0);
      v_full_tenant := '';
      v_way := v_all;
    end if;
  end if;
  v_waits := true = any (p_wants[v_got + 1:]);

  if v_got > 0 then
    perform holder_check(p_holder, p_epoch);
    if v_queue then
      delete from ticket t where t.nonce = any (p_nonces[1:v_got]);
      v_more := exists (
        select from ticket t join holder h on h.id = t.holder_id
        where t.tenant = p_tenant and t.name = p_name and h.expires_at > v_now);
    end if;
    v_token := next_token();
    tokens := tokens || lease_grant(
      v_token, p_holder, p_term, p_tenant, p_name, v_own.slots[1:v_got], p_nonces[1:v_got], p_metadata[1:v_got], p_shared,
      p_wanted => v_more or v_waits, p_keep => p_limit > 1 and not p_shared);
    granted := granted || p_asks[1:v_got];
    slots := slots || v_own.slots[1:v_got];
    if p_total is not null then
      total_tokens := total_tokens || lease_grant(
        (v_token >> 44 << 44) + nextval('token'), p_holder, p_term, '', p_name, v_all.slots[1:v_got],
        p_nonces[1:v_got], p_metadata[1:v_got], p_shared => false, p_wanted => v_waits, p_keep => true);
      total_slots := total_slots || v_all.slots[1:v_got];
    else
      total_slots := total_slots || array_fill(null::integer, array[v_got]);
      total_tokens := total_tokens || array_fill(null::bigint, array[v_got]);
    end if;
    -- There may be room for the next in the queue as well.
    if v_more and (p_shared or p_limit > 1) then
      perform wake(array[p_tenant], array[p_name]);
    end if;
    p_asks := p_asks[v_got + 1:];
    if p_asks = '{}' then
      return;
    end if;
    p_nonces := p_nonces[v_got + 1:];
    p_wants := p_wants[v_got + 1:];
  end if;

  if v_waits then
    if p_fair or p_shared or v_own.readers then
      perform holder_check(p_holder, p_epoch);
      insert into ticket (tenant, name, holder_id, nonce, shared, since)
      select p_tenant, p_name, p_holder, a.nonce, p_shared, v_now
      from unnest(p_nonces, p_wants) with ordinality a(nonce, wants, ord)
      where a.wants and not exists (select from ticket t where t.nonce = a.nonce)
      order by a.ord;
    end if;
    -- Marked under the lock of a lease that is still held: its release comes later, and sees the mark.
    if v_way.unmarked is not null then
      with waiting as (
        select l.slot from lease l
        where l.tenant = v_full_tenant and l.name = p_name and l.slot = any (v_way.unmarked) and l.holder_id is not null
        for no key update skip locked
      ), noted as (
        update lease l set wanted = true from waiting w
        where l.tenant = v_full_tenant and l.name = p_name and l.slot = w.slot and not l.wanted
      )
      select count(*) into v_seen from waiting;
      v_told := v_seen >= cardinality(v_way.unmarked);
    end if;
    v_told := v_told and (v_way.told or not v_way.changing);
    if v_queue or p_fair or p_shared or v_own.readers then
      queued := array(
        select a.ask from unnest(p_asks, p_nonces) a(ask, nonce) join ticket t on t.nonce = a.nonce);
    end if;
  end if;
  if v_told then
    held := p_asks;
  else
    held := array(select a.ask from unnest(p_asks, p_wants) a(ask, wants) where not a.wants);
  end if;
  -- Those at work may give up.
  v_until := least(v_until, v_way.held_until, case when v_way.changing then v_now + interval '100 ms' end);
  held_for := least(ceil(extract(epoch from v_until - v_now) * 1000), 2147483647)::integer;
end
$$;
