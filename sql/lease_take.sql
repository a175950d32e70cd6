-- One ask of lease_acquire that takes more than a look at one row: slots, readers and writers, places in a queue.
--
-- slot null: not granted. marked says then that whoever waits has been noted down on all that is in its way, and
-- held_for when the first of it expires; not marked means that it is being changed right now.
create or replace function lease_take(
  p_holder uuid, p_term interval, p_tenant text, p_name text, p_nonce uuid, p_wants boolean, p_metadata jsonb,
  p_limit integer, p_total integer, p_shared boolean, p_fair boolean,
  out slot integer, out token bigint, out total_slot integer, out total_token bigint,
  out marked boolean, out held_for integer)
language plpgsql volatile
set search_path from current
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_ticket bigint;
  v_ahead bigint;
  v_more boolean;
  v_full_tenant text := p_tenant;
  v_unmarked bigint;
  v_seen bigint;
  v_until timestamptz;
begin
  -- Asked before: the answer was lost on its way.
  select l.slot, l.token into slot, token from lease l
  where l.tenant = p_tenant and l.name = p_name and l.holder_id = p_holder and l.nonce = p_nonce;
  if found then
    select l.slot, l.token into total_slot, total_token from lease l
    where p_total is not null and l.tenant = '' and l.name = p_name and l.holder_id = p_holder and l.nonce = p_nonce;
    return;
  end if;

  -- Whoever stands before this one in the queue and lives. Readers do not stand in each other's way.
  delete from holder where id in (
    select h.id from holder h
    where h.expires_at <= v_now
      and h.id in (select t.holder_id from ticket t where t.tenant = p_tenant and t.name = p_name)
    order by h.id for update skip locked);
  delete from ticket t
  where t.tenant = p_tenant and t.name = p_name and not exists (select from holder h where h.id = t.holder_id);
  select t.id into v_ticket from ticket t where t.nonce = p_nonce;
  select count(*), min(h.expires_at) into v_ahead, v_until
  from ticket t join holder h on h.id = t.holder_id
  where t.tenant = p_tenant and t.name = p_name and (v_ticket is null or t.id < v_ticket)
    and h.expires_at > v_now and not (p_shared and t.shared);

  if v_ahead = 0 or (p_limit > 1 and lease_room(p_tenant, p_name, p_limit) > v_ahead) then
    slot := lease_pick(p_tenant, p_name, p_limit, p_shared);
    if slot is not null and p_total is not null then
      total_slot := lease_pick('', p_name, p_total, false);
      if total_slot is null then
        slot := null;
        v_full_tenant := '';
      end if;
    end if;
  end if;

  if slot is not null then
    delete from ticket t where t.nonce = p_nonce;
    v_more := exists (
      select from ticket t join holder h on h.id = t.holder_id
      where t.tenant = p_tenant and t.name = p_name and h.expires_at > v_now);
    token := lease_grant(
      p_holder, p_term, p_tenant, p_name, slot, p_nonce, p_metadata, p_shared, p_wanted => v_more);
    if p_total is not null then
      total_token := lease_grant(
        p_holder, p_term, '', p_name, total_slot, p_nonce, p_metadata, p_shared => false, p_wanted => false);
    end if;
    -- There may be room for the next in the queue as well.
    if v_more and (p_shared or p_limit > 1) then
      perform wake(array[p_tenant], array[p_name]);
    end if;
    return;
  end if;

  total_slot := null;
  marked := true;
  if p_wants then
    if v_ticket is null and (p_fair or p_shared or exists (
      select from lease l where l.tenant = p_tenant and l.name = p_name and l.slot > 0 and l.shared and l.holder_id is not null))
    then
      insert into ticket (tenant, name, holder_id, nonce, shared, since)
      values (p_tenant, p_name, p_holder, p_nonce, p_shared, v_now);
    end if;
    -- Marked under the lock of a lease that is still held: its release comes later, and sees the mark.
    select count(*) into v_unmarked from lease l
    where l.tenant = v_full_tenant and l.name = p_name and l.holder_id is not null and not l.wanted;
    if v_unmarked > 0 then
      with waiting as (
        select l.slot from lease l
        where l.tenant = v_full_tenant and l.name = p_name and l.holder_id is not null and not l.wanted
        for no key update skip locked
      ), noted as (
        update lease l set wanted = true from waiting w
        where l.tenant = v_full_tenant and l.name = p_name and l.slot = w.slot
      )
      select count(*) into v_seen from waiting;
      marked := v_seen >= v_unmarked;
    end if;
  end if;
  select least(v_until, min(coalesce(l.expires_at, h.expires_at))) into v_until
  from lease l left join holder h on h.id = l.holder_id
  where l.tenant = v_full_tenant and l.name = p_name and l.holder_id is not null;
  held_for := least(ceil(extract(epoch from v_until - v_now) * 1000), 2147483647)::integer;
end
$$;
