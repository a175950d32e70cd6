-- Frees what a holder has of a table and does not know of: an answer was lost. Those attempts do not count. place: of
-- a claim in a batch; 0 of one that has an entry.
create or replace function claim_free(
  p_source integer, p_holder uuid, p_tenants text[], p_keys text[], p_tokens bigint[], p_places integer[])
returns void
language sql volatile security definer
set search_path from current
as $$
  select claim_settle_batch(p_source, array_agg(r.token), array_agg(r.place)) from claim_batch_rows r
  where r.source_id = p_source and r.holder_id = p_holder and (r.token, r.place) not in (
    select a.token, a.place from unnest(p_tokens, p_places) a(token, place))
  having count(*) > 0;
  update claim c set holder_id = null, attempts = c.attempts - 1
  where c.source_id = p_source and c.holder_id = p_holder and not exists (
    select from unnest(p_tenants, p_keys, p_tokens, p_places) a(tenant, key, token, place)
    where c.tenant = a.tenant and c.key = a.key and c.token = a.token and a.place = 0)
$$;
