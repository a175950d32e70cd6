-- Frees what a holder has of a table and does not know of: an answer was lost. Those attempts do not count.
create or replace function claim_free(
  p_source integer, p_holder uuid, p_tenants text[], p_keys text[], p_tokens bigint[])
returns void
language sql volatile security definer
set search_path from current
as $$
  update claim c set holder_id = null, attempts = c.attempts - 1
  where c.source_id = p_source and c.holder_id = p_holder and not exists (
    select from unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token)
    where c.tenant = a.tenant and c.key = a.key and c.token = a.token)
$$;
