-- Gives a row that the caller has found free and locked to a holder; answers its token.
create or replace function lease_grant(
  p_holder uuid, p_term interval, p_tenant text, p_name text, p_slot integer, p_nonce uuid, p_metadata jsonb,
  p_shared boolean, p_wanted boolean)
returns bigint
language plpgsql volatile
set search_path from current
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_token bigint := next_token();
  v_floor bigint := (select token_floor + 1 from state);
begin
  update lease l
  set token = greatest(v_token, v_floor, l.token + 1),
      holder_id = p_holder, nonce = p_nonce, acquired_at = v_now, expires_at = v_now + p_term,
      wanted = p_wanted, shared = p_shared, revoked = false, metadata = p_metadata
  where l.tenant = p_tenant and l.name = p_name and l.slot = p_slot
  returning l.token into v_token;
  return v_token;
end
$$;
