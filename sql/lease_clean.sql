-- Locks those of these rows that are free and that no guard is open on, marks them as clean, and counts them.
create or replace function lease_clean(p_tenant text, p_name text, p_slots integer[]) returns integer
language plpgsql volatile
set search_path from current
as $$
declare
  v_locked integer[];
  v_clean integer;
begin
  v_locked := array(
    select l.slot from lease l
    where l.tenant = p_tenant and l.name = p_name and l.slot = any (p_slots) and lease_free(l.holder_id, l.expires_at)
    for update skip locked);
  select count(*) into v_clean from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot = any (v_locked) and lease_free(l.holder_id, l.expires_at);
  update lease l set nonce = null, holder_id = null, expires_at = null
  where l.tenant = p_tenant and l.name = p_name and l.slot = any (v_locked) and l.nonce is not null
    and lease_free(l.holder_id, l.expires_at);
  return v_clean;
end
$$;
