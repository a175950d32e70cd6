-- Gives claims in batches back, as claim_return does those that have an entry: each gets one, unless it would say
-- nothing.
create or replace function claim_return_batch(
  p_source integer, p_tokens bigint[], p_places integer[], p_after float8[], p_errors text[], p_unused boolean[])
returns integer[]
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  v_now timestamptz := clock_timestamp();
  v_rows claim_batch_rows[] := array(
    select r from claim_batch_rows r where r.source_id = p_source and r.token = any (p_tokens));
  v_settled integer[] := claim_settle_batch(p_source, p_tokens, p_places);
begin
  insert into claim (tenant, source_id, key, token, holder_id, attempts, due, error)
  select r.tenant, p_source, r.key, r.token, case when a.after = 0 then null else v_nobody end, 1 - a.unused::integer,
    case when a.after < 0 then 'infinity' else v_now + a.after * interval '1 millisecond' end, nullif(a.error, '')
  from unnest(p_tokens, p_places, p_after, p_errors, p_unused, v_settled) a(token, place, after, error, unused, settled)
  join unnest(v_rows) r on r.token = a.token and r.place = a.place
  where a.settled = 1 and not (a.after = 0 and a.unused and a.error = '')
  order by r.tenant, r.key
  on conflict do nothing;
  return v_settled;
end
$$;
