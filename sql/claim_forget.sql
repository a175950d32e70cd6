-- Forgets claims of rows that are gone, as far as nobody who lives has them, and nothing has changed meanwhile.
create or replace function claim_forget(p_source integer, p_tenants text[], p_keys text[], p_tokens bigint[])
returns bigint
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_rows claim_batch_rows[];
  v_settled integer[];
  v_entries bigint;
begin
  -- Is true: hashed. A join would compare each row with each of them, a second for a thousand of 10,000.
  v_rows := array(
    select r from claim_batch_rows r
    where r.source_id = p_source and r.holder_id not in (select id from holder) and ((r.tenant, r.key, r.token) in (
      select a.tenant, a.key, a.token from unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token))) is true);
  v_settled := claim_settle_batch(
    p_source, array(select (r).token from unnest(v_rows) r), array(select (r).place from unnest(v_rows) r));
  with forgotten as (
    delete from claim c using unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token)
    where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key and c.token = a.token
      and not exists (select from holder h where h.id = c.holder_id)
    returning 1)
  select count(*) into v_entries from forgotten;
  return v_entries + (select count(*) from unnest(v_settled) s where s = 1);
end
$$;
