-- Claims rows for this holder: of those named, the ones that nobody has, or a dead holder. The calling transaction has
-- locked the rows themselves. What it saw of their claims before may be out of date by then: locking a row shows
-- nothing of a claim that was made beside it. The key of the claim decides here.
create or replace function claim_take(
  p_holder uuid, p_epoch integer, p_source integer, p_attempts integer, p_dead uuid[], p_tenants text[], p_keys text[])
returns setof claim
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  v_token bigint := claim_token(p_holder, p_epoch);
begin
  return query
  insert into claim as c (tenant, source_id, key, token, holder_id, attempts)
  select a.tenant, p_source, a.key, v_token, p_holder, 1
  from unnest(p_tenants, p_keys) a(tenant, key) order by a.tenant collate "C", a.key collate "C"
  on conflict (tenant, source_id, key) do update set
    token = greatest(excluded.token, c.token + 1),
    holder_id = case when c.attempts >= p_attempts then v_nobody else excluded.holder_id end,
    attempts = c.attempts + case when c.attempts >= p_attempts then 0 else 1 end,
    due = case when c.attempts >= p_attempts then 'infinity'::timestamptz else '-infinity'::timestamptz end
  where c.holder_id is null or c.holder_id = any (p_dead) and c.due <= clock_timestamp()
  returning c.*;
  -- After the first write: claim_source keeps all writes out while it changes what claims are kept under.
  if not exists (select from claim_source s where s.id = p_source) then
    raise exception 'the rows of this table are claimed by another key or tenant now' using errcode = 'FP005';
  end if;
end
$$;
