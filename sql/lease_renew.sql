-- Gives a lease with a fixed expiry another term, counted from now; false when it has expired or is another's.
create or replace function lease_renew(
  p_holder uuid, p_tenant text, p_name text, p_slot integer, p_token bigint, p_term interval)
returns boolean
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_expires_at timestamptz;
  v_now timestamptz;
begin
  perform durable();
  select l.expires_at into v_expires_at from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot = p_slot and l.token = p_token and l.holder_id = p_holder
  for no key update;
  v_now := clock_timestamp();  -- after the lock
  if v_expires_at is null or v_expires_at <= v_now then
    return false;
  end if;
  update lease l set expires_at = v_now + p_term where l.tenant = p_tenant and l.name = p_name and l.slot = p_slot;
  return true;
end
$$;
