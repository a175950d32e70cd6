-- What a holder has that lives on its heartbeat, in the order of tenant, name and slot: so many after the place given,
-- as a list of [tenant, name, slot, token]. Reads the whole table.
create or replace function lease_of(
  p_holder uuid, p_tenant text default '', p_name text default '', p_slot integer default -1,
  p_limit integer default 1000)
returns jsonb
language sql stable security definer
set search_path from current
as $$
  select coalesce(jsonb_agg(jsonb_build_array(tenant, name, slot, token::text) order by tenant, name, slot), '[]')
  from (
    select tenant, name, slot, token from lease
    where holder_id = p_holder and expires_at is null and (tenant, name, slot) > (p_tenant, p_name, p_slot)
    order by tenant, name, slot limit p_limit) l
$$;
