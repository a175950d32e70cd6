-- Extends a holder that has not expired; not alive when it has: then it is dead for good. revoked: something of it was
-- revoked that it has not been told of. moved: it is from before the last failover, and has not been settled since.
create or replace function holder_beat(p_holder uuid, out alive boolean, out revoked boolean, out moved boolean)
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
  alive := v_holder.expires_at is not null and v_holder.expires_at > v_now;
  if alive then
    update holder set expires_at = v_now + v_holder.ttl, beat_at = v_now where id = p_holder;
  end if;
  moved := alive and v_holder.timeline <> timeline();
  revoked := exists (select from revocation r where r.holder_id = p_holder);
end
$$;
