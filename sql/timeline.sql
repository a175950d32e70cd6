-- The WAL timeline: each promotion of a standby begins another. pg_walfile_name shows the new one at once,
-- pg_control_checkpoint only after a checkpoint.
create or replace function timeline() returns bigint
language sql volatile
return ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;
