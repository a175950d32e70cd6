-- Gives up places in queues; who stands behind them is told.
create or replace function lease_withdraw(p_nonces uuid[]) returns void
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_tenants text[];
  v_names text[];
begin
  with gone as (delete from ticket where nonce = any (p_nonces) returning tenant, name)
  select array_agg(tenant), array_agg(name) into v_tenants, v_names from gone;
  if v_tenants is not null then
    perform wake(v_tenants, v_names);
  end if;
end
$$;
