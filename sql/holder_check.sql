-- The holder, if it lives and has this epoch. KEY SHARE keeps a takeover from burying it before the commit, and lets
-- its heartbeat pass.
create or replace function holder_check(p_holder uuid, p_epoch integer) returns holder
language plpgsql volatile
set search_path from current
as $$
declare
  v_holder holder;
begin
  select * into v_holder from holder where id = p_holder for key share;
  if v_holder.expires_at is null or v_holder.expires_at <= clock_timestamp() then
    raise exception 'holder % has expired', p_holder using errcode = 'FP002';
  elsif v_holder.epoch <> p_epoch then
    raise exception 'holder % has moved on to epoch %', p_holder, v_holder.epoch using errcode = 'FP003';
  end if;
  return v_holder;
end
$$;
