-- From now on who asks for this resource alone has to look at its other rows as well.
create or replace function lease_crowd(p_tenant text, p_name text) returns void
language plpgsql volatile
set search_path from current
as $$
begin
  if exists (select from lease l where l.tenant = p_tenant and l.name = p_name and l.slot = 0 and l.crowded) then
    return;
  end if;
  insert into lease (tenant, name, crowded) values (p_tenant, p_name, true)
  on conflict (tenant, name, slot) do update set crowded = true;
end
$$;
