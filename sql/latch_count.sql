-- Counts a part of a latch down: its slot is held for good, by nobody who could lose it or give it back. Asked again
-- with the same token it changes nothing. Fails when somebody else has got the slot since.
create or replace function latch_count(p_tenant text, p_name text, p_slot integer, p_token bigint) returns void
language plpgsql volatile security definer
set search_path from current
as $$
begin
  perform durable();
  update lease l
  set holder_id = '00000000-0000-0000-0000-000000000000', expires_at = '9999-12-31 00:00:00+00'
  where l.tenant = p_tenant and l.name = p_name and l.slot = p_slot and l.token = p_token
    and l.holder_id is not null and not l.revoked;
  if not found then
    raise exception 'stale fencing token % for part % of latch %', p_token, p_slot, p_name using errcode = 'FP001';
  end if;
  perform wake(array[p_tenant], array[p_name]);
end
$$;
