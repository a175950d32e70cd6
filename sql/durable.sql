-- What the client believes must survive a crash: the commit waits for the disk whatever the role or database says.
-- A setting in a function's SET clause would be undone before the commit; a local one lasts until it.
create or replace function durable() returns void
language plpgsql volatile
set search_path from current
as $$
begin
  if current_setting('synchronous_commit') in ('off', 'local', 'remote_write') then
    perform set_config('synchronous_commit', 'on', true);
  end if;
end
$$;
