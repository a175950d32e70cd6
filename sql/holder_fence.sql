-- After a connection was lost with acquires under way: waits for those that are about to commit (they hold KEY SHARE
-- on the holder) and makes all older ones fail, so that what the rows say then about a nonce is final.
create or replace function holder_fence(p_holder uuid) returns integer
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_holder holder;
begin
  perform durable();
  select * into v_holder from holder where id = p_holder for update;
  if v_holder.expires_at is null or v_holder.expires_at <= clock_timestamp() then
    raise exception 'holder % has expired', p_holder using errcode = 'FP002';
  end if;
  update holder set epoch = v_holder.epoch + 1 where id = p_holder;
  return v_holder.epoch + 1;
end
$$;
