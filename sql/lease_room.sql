-- How many slots of a limit nobody has. It counts and locks nothing: for the order of a queue only.
create or replace function lease_room(p_tenant text, p_name text, p_limit integer) returns integer
language sql volatile
set search_path from current
as $$
  select p_limit - count(*)::integer from lease l
  where l.tenant = p_tenant and l.name = p_name and l.holder_id is not null and not lease_free(l.holder_id, l.expires_at)
$$;
