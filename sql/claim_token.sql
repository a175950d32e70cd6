-- The token for rows that the calling transaction has locked to claim them for this holder, to be raised for each row
-- above the row's own.
create or replace function claim_token(p_holder uuid, p_epoch integer) returns bigint
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_holder holder;
  v_token bigint;
  v_floor bigint;
begin
  perform durable();
  -- KEY SHARE keeps a takeover from burying this holder before the commit, and lets its heartbeat pass.
  select * into v_holder from holder where id = p_holder for key share;
  if v_holder.expires_at is null or v_holder.expires_at <= clock_timestamp() then
    raise exception 'holder % has expired', p_holder using errcode = 'FP002';
  elsif v_holder.epoch <> p_epoch then
    raise exception 'holder % has moved on to epoch %', p_holder, v_holder.epoch using errcode = 'FP003';
  end if;
  v_token := next_token();
  select token_floor + 1 into v_floor from state;
  return greatest(v_token, v_floor);
end
$$;
