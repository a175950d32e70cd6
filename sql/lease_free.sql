-- Whether the tenure of a row has ended: nobody has it, its term has run out, or its holder is gone. Whoever acts on it
-- asks again in a later statement, once the row is locked: a holder that was not there yet looks like one that is gone.
create or replace function lease_free(p_holder uuid, p_expires timestamptz) returns boolean
language sql volatile
set search_path from current
as $$
  select p_holder is null
    or case when p_expires is null then not exists (select from holder h where h.id = p_holder)
            else p_expires <= clock_timestamp() end
$$;
