-- Claims of a table that has a limit for each key take turns: between what one counts and what it commits no other may
-- claim. The answer is there to be waited for.
create or replace function claim_turn(p_table oid) returns boolean
language plpgsql volatile security definer
set search_path from current
as $$
begin
  perform pg_advisory_xact_lock(1179535683, p_table::bigint::bit(32)::integer);
  -- Nobody waits for a client that froze before its commit, where that is a message of its own.
  perform set_config('idle_in_transaction_session_timeout', '10000', true);
  return true;
end
$$;
