-- The trigger on a user's table, after each statement: tells that rows may have come, when somebody wants to know. A
-- NOTIFY makes the commits of the whole database wait for each other, so it is sent once, and then when somebody has
-- asked anew: not at all while all workers are busy, and at most every few milliseconds (claim_wanted).
create or replace function claim_wake() returns trigger
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_wish regclass := to_regclass('wanted_' || tg_relid);
  v_now bigint := extract(epoch from clock_timestamp()) * 1000;
begin
  if pg_sequence_last_value(v_wish) between 1 and v_now then
    perform setval(v_wish, -v_now);
    perform pg_notify(channel(), 'claim:' || tg_relid);
  end if;
  return null;
end
$$;
