-- Ends when everything committed before it is on the disk, and on the synchronous standby where there is one.
create or replace function flush() returns void
language plpgsql volatile security definer
set search_path from current
as $$
begin
  perform durable();
  -- Something has to be written: the commit of a transaction that wrote nothing waits for no disk.
  perform pg_logical_emit_message(true, 'fencepost', '');
end
$$;
