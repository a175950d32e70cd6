-- Waits for the other large claims of the table, but not for long: one of them may be a client's that froze.
create or replace function claim_queue(p_source integer) returns void
language plpgsql volatile
set search_path from current
set lock_timeout = '500ms'
as $$
begin
  perform pg_advisory_xact_lock(1179535684, p_source);
exception when lock_not_available then
  null;
end
$$;
