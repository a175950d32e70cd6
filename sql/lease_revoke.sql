-- Takes leases of a resource away from whoever holds them: free after the grace, and their holders are told. p_token:
-- only the one with this token, so that a successor is never hit. Answers the tokens.
create or replace function lease_revoke(p_tenant text, p_name text, p_grace interval, p_token bigint default null)
returns bigint[]
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_slots integer[];
  v_now timestamptz;
  v_tokens bigint[];
begin
  perform durable();
  v_slots := array(
    select l.slot from lease l
    where l.tenant = p_tenant and l.name = p_name and l.holder_id is not null and (p_token is null or l.token = p_token)
    order by l.slot for no key update);
  v_now := clock_timestamp();
  insert into revocation (holder_id, tenant, name, slot, token)
  select l.holder_id, l.tenant, l.name, l.slot, l.token
  from lease l join holder h on h.id = l.holder_id
  where l.tenant = p_tenant and l.name = p_name and l.slot = any (v_slots)
  order by l.holder_id
  on conflict do nothing;
  -- With a grace it becomes a lease with a fixed term, which nothing prolongs.
  with taken as (
    update lease l
    set revoked = true,
        holder_id = case when p_grace > interval '0' then l.holder_id end,
        expires_at = case when p_grace > interval '0' then least(l.expires_at, v_now + p_grace) end
    where l.tenant = p_tenant and l.name = p_name and l.slot = any (v_slots)
    returning l.token
  )
  select coalesce(array_agg(t.token), '{}') into v_tokens from taken t;
  if v_tokens <> '{}' then
    perform wake(array[p_tenant], array[p_name]);
    perform pg_notify(channel(), 'revoked');
  end if;
  return v_tokens;
end
$$;
