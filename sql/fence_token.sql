-- A token for whoever holds a session lock, greater than every one drawn before: the lock, held while it is drawn,
-- is what puts it in the order of the holders.
create or replace function fence_token() returns bigint
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_token bigint;
begin
  perform durable();
  -- A sequence writes its log once for many values, perhaps in a transaction that is not on disk yet, and a commit waits
  -- only for a transaction that has written something, be it no more than a word: then for everything before it.
  perform pg_logical_emit_message(true, 'fencepost', 'token');
  v_token := next_token();
  return v_token;
end
$$;
