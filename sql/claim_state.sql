-- What a claimed row is, by who has it (the nil uuid is nobody), whether that lives, and when it is due.
create or replace function claim_state(holder uuid, alive boolean, due timestamptz) returns text
language sql immutable parallel safe
return case when holder = '00000000-0000-0000-0000-000000000000'
              then case when due = 'infinity' then 'aside' else 'waiting' end
            when alive then 'claimed' else 'left' end;
