-- Forgets claims of rows that are gone, as far as nobody who lives has them, and nothing has changed meanwhile.
create or replace function claim_forget(p_source integer, p_tenants text[], p_keys text[], p_tokens bigint[])
returns bigint
language sql volatile security definer
set search_path from current
as $$
  with forgotten as (
    delete from claim c using unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token)
    where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key and c.token = a.token
      and not exists (select from holder h where h.id = c.holder_id)
    returning 1)
  select count(*) from forgotten
$$;
