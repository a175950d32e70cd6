-- Ends when everything committed before it is on the disk, and on the synchronous standby where there is one.
create or replace function flush() returns void
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_written constant pg_lsn := pg_current_wal_insert_lsn();
begin
  -- Who was woken by what is to be flushed commits in a moment, and that flushes this too. It would have to wait for a
  -- flush under way: 5.4 ms from a release to the next holder are 4.9 when this gives way (a disk of 1.8 ms).
  if current_setting('synchronous_standby_names') = '' then
    for v_try in 1..5 loop
      if pg_current_wal_flush_lsn() >= v_written then
        return;
      end if;
      perform pg_sleep(0.001);
    end loop;
  end if;
  perform durable();
  -- Something has to be written: the commit of a transaction that wrote nothing waits for no disk.
  perform pg_logical_emit_message(true, 'fencepost', '');
end
$$;
