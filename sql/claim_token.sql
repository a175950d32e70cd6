-- The token for rows that the calling transaction has locked to claim them for this holder, to be raised for each row
-- above the row's own.
create or replace function claim_token(p_holder uuid, p_epoch integer) returns bigint
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_token bigint;
  v_floor bigint;
begin
  perform durable();
  perform holder_check(p_holder, p_epoch);
  v_token := next_token();
  select token_floor + 1 into v_floor from state;
  return greatest(v_token, v_floor);
end
$$;
