-- Puts a lease, with all its rows or none, where whoever knows the secret can take it up within the term. False when
-- it is not this holder's any more. Asked again with the same secret it answers the same.
create or replace function lease_hand_over(
  p_holder uuid, p_term interval, p_tenants text[], p_names text[], p_slots integer[], p_tokens bigint[],
  p_secret uuid)
returns boolean
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_keeper uuid := lease_keeper(p_secret);
  v_now timestamptz;
  v_alive boolean;
  v_mine integer;
begin
  perform durable();
  perform from unnest(p_tenants, p_names, p_slots) a(tenant, name, slot)
  join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot
  order by l.tenant, l.name, l.slot for no key update of l;
  v_now := clock_timestamp();  -- after the locks: what has expired meanwhile is lost
  v_alive := exists (select from holder h where h.id = p_holder and h.expires_at > v_now);
  select count(*) into v_mine
  from unnest(p_tenants, p_names, p_slots, p_tokens) a(tenant, name, slot, token)
  join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot and l.token = a.token
  where l.holder_id = v_keeper
     or l.holder_id = p_holder and not l.revoked and coalesce(l.expires_at > v_now, v_alive);
  if v_mine <> cardinality(p_tokens) then
    return false;
  end if;
  -- Nobody's heartbeat keeps it from now on: it has a term of its own.
  update lease l set holder_id = v_keeper, expires_at = v_now + p_term
  from unnest(p_tenants, p_names, p_slots) a(tenant, name, slot)
  where l.tenant = a.tenant and l.name = a.name and l.slot = a.slot and l.holder_id = p_holder;
  return true;
end
$$;
