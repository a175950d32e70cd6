-- Gives rows that the caller has found free and locked to a holder, each with a nonce; answers their tokens, all
-- different. p_token was drawn after the locks, for the first of them. p_keep: a row that was wanted may stay so.
create or replace function lease_grant(
  p_token bigint, p_holder uuid, p_term interval, p_tenant text, p_name text, p_slots integer[], p_nonces uuid[], p_metadata text[],
  p_shared boolean, p_wanted boolean, p_keep boolean default false)
returns bigint[]
language plpgsql volatile
set search_path from current
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_drawn bigint[] := array[p_token];
  v_floor bigint := (select token_floor + 1 from state);
  v_tokens bigint[];
begin
  for v_further in 2..cardinality(p_slots) loop
    -- In the era of the first one.
    v_drawn := v_drawn || ((p_token >> 44 << 44) + nextval('token'));
  end loop;
  with given as (
    update lease l
    set token = greatest(g.token, v_floor, l.token + 1),
        holder_id = p_holder, nonce = g.nonce, acquired_at = v_now, expires_at = v_now + p_term,
        wanted = p_wanted or p_keep and lease_stays_wanted(l.wanted, l.token), shared = p_shared, revoked = false,
        metadata = g.metadata::jsonb
    from unnest(p_slots, p_nonces, p_metadata, v_drawn) with ordinality g(slot, nonce, metadata, token, ord)
    where l.tenant = p_tenant and l.name = p_name and l.slot = g.slot
    returning g.ord, l.token
  )
  select array_agg(token order by ord) into v_tokens from given;
  return v_tokens;
end
$$;
