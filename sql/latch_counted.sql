-- How many parts of a latch have been counted down.
create or replace function latch_counted(p_tenant text, p_name text) returns integer
language sql stable security definer
set search_path from current
as $$
  select count(*)::integer from lease l
  where l.tenant = p_tenant and l.name = p_name and l.holder_id = '00000000-0000-0000-0000-000000000000'
$$;
