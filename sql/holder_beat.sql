-- Extends a holder that has not expired; false when it has: then it is dead for good.
create or replace function holder_beat(p_holder uuid) returns boolean
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_holder holder;
  v_now timestamptz;
begin
  perform durable();
  select * into v_holder from holder where id = p_holder for no key update;
  v_now := clock_timestamp();  -- after the lock: the wait for it must not count as life
  if v_holder.expires_at is null or v_holder.expires_at <= v_now then
    return false;
  end if;
  update holder set expires_at = v_now + v_holder.ttl, beat_at = v_now where id = p_holder;
  return true;
end
$$;
