-- Lets a role call the public functions and read the views, and nothing else. What it has already is not granted
-- again: every grant writes to the catalogs, and migrate asks for it each time a process starts.
create or replace function grant_access(p_role regrole) returns void
language plpgsql volatile
set search_path from current
as $$
declare
  v_schema oid := (select oid from pg_namespace where nspname = current_schema());
  v_grant text;
begin
  for v_grant in
    select format('grant %s on %s to %s', o.privilege, o.name, p_role)
    from (
      select 'USAGE', format('schema %I', nspname), nspacl from pg_namespace where oid = v_schema
      union all
      select 'EXECUTE', format('function %s', oid::regprocedure), proacl from pg_proc
      where pronamespace = v_schema and (prosecdef or proname in ('key', 'key_in', 'family', 'claim_live', 'claim_run', 'claim_state', 'claim_counts'))
      union all
      select 'SELECT', format('%s', oid::regclass), relacl from pg_class
      where relnamespace = v_schema and relkind = 'v'
    ) o(privilege, name, acl)
    where not exists (select from aclexplode(o.acl) a where a.grantee = p_role and a.privilege_type = o.privilege)
  loop
    execute v_grant;
  end loop;
end
$$;
