-- Whether whoever gets a slot next is taken to be waited for, because the last one was. Who waits and finds it so has
-- nothing to write. One grant in seven forgets it, in case nobody waits any more.
create or replace function lease_stays_wanted(wanted boolean, token bigint) returns boolean
language sql immutable parallel safe
return wanted and token % 7 <> 0;
