-- Gives rows that the dead have in batches an entry each, as left by them: of those named, for a claim that has locked
-- them. Answers the names that could not be had: a batch that somebody settles in is passed by, so that no claim waits
-- for one who waits for its rows.
create or replace function claim_leave(p_source integer, p_dead uuid[], p_keys text[]) returns text[]
language plpgsql volatile
set search_path from current
as $$
declare
  v_left claim_batch_rows[] := array(
    select r from claim_batch_rows r
    where r.source_id = p_source and r.holder_id = any (p_dead) and (r.key in (select unnest(p_keys))) is true);
  v_settled integer[] := claim_settle_batch(
    p_source, array(select (r).token from unnest(v_left) r), array(select (r).place from unnest(v_left) r), true);
begin
  insert into claim (tenant, source_id, key, token, holder_id, attempts)
  select l.tenant, p_source, l.key, l.token, l.holder_id, 1
  from unnest(v_left) with ordinality l(source_id, token, holder_id, tenant, key, place, number)
  where v_settled[l.number] = 1 order by l.tenant, l.key
  on conflict do nothing;
  return array(
    select l.key from unnest(v_left) with ordinality l(source_id, token, holder_id, tenant, key, place, number)
    where v_settled[l.number] = 0);
end
$$;
