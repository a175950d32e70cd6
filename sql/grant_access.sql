-- Lets a role call the public functions and read the views, and nothing else.
create or replace function grant_access(p_role regrole) returns void
language plpgsql volatile
set search_path from current
as $$
declare
  v_object text;
begin
  execute format('grant usage on schema %I to %s', current_schema(), p_role);
  for v_object in
    select oid::regprocedure from pg_proc
    where pronamespace = current_schema()::regnamespace and (prosecdef or proname in ('key', 'key_in'))
  loop
    execute format('grant execute on function %s to %s', v_object, p_role);
  end loop;
  for v_object in
    select oid::regclass from pg_class where relnamespace = current_schema()::regnamespace and relkind = 'v'
  loop
    execute format('grant select on %s to %s', v_object, p_role);
  end loop;
end
$$;
