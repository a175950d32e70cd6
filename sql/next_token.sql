-- The WAL timeline stands above 44 bits of counter, so a promoted standby that lost the newest tokens still draws
-- greater ones. pg_walfile_name shows the new timeline at once, pg_control_checkpoint only after a checkpoint.
-- Call it only while the rows that get the token are locked.
create or replace function next_token() returns bigint
language plpgsql volatile
set search_path from current
as $$
declare
  v_timeline bigint := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;
begin
  return v_timeline * 17592186044416 + nextval('token');
end
$$;
