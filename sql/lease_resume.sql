-- Gives a lease that was handed over to the holder who knows the secret, once: all its rows, each with a new and greater
-- token. Null while a guard of the one before is open. Asked again with the same nonce it answers the same.
create or replace function lease_resume(
  p_holder uuid, p_epoch integer, p_term interval, p_tenants text[], p_names text[], p_slots integer[],
  p_tokens bigint[], p_secret uuid, p_nonce uuid)
returns bigint[]
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_keeper uuid := lease_keeper(p_secret);
  v_given bigint[];
  v_locked integer;
  v_row record;
begin
  perform durable();
  perform holder_check(p_holder, p_epoch);
  -- Asked before: the answer was lost on its way.
  select array_agg(l.token order by a.ord) into v_given
  from unnest(p_tenants, p_names, p_slots) with ordinality a(tenant, name, slot, ord)
  join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot
  where l.holder_id = p_holder and l.nonce = p_nonce;
  if v_given is not null then
    return v_given;
  end if;

  select count(*) into v_locked
  from (
    select from unnest(p_tenants, p_names, p_slots, p_tokens) a(tenant, name, slot, token)
    join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot and l.token = a.token
    where l.holder_id = v_keeper
    order by l.tenant, l.name, l.slot for update of l skip locked
  ) l;
  -- Only now: it can have run out while others had the rows.
  if cardinality(p_tokens) <> (
    select count(*)
    from unnest(p_tenants, p_names, p_slots, p_tokens) a(tenant, name, slot, token)
    join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot and l.token = a.token
    where l.holder_id = v_keeper and not l.revoked and l.expires_at > clock_timestamp())
  then
    raise exception 'the lease % is not there any more to be taken up', p_names[1]
      using errcode = 'FP001', detail = 'It was taken up before, revoked, or its time had run out.';
  elsif v_locked < cardinality(p_tokens) then
    return null;
  end if;
  for v_row in
    select a.ord, l.tenant, l.name, l.slot, l.metadata, l.shared, l.wanted
    from unnest(p_tenants, p_names, p_slots) with ordinality a(tenant, name, slot, ord)
    join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot
    order by a.ord
  loop
    v_given := v_given || lease_grant(
      next_token(), p_holder, p_term, v_row.tenant, v_row.name, array[v_row.slot], array[p_nonce],
      array[v_row.metadata::text], v_row.shared, v_row.wanted);
  end loop;
  return v_given;
end
$$;
