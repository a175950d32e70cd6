-- Who has a lease between two processes: nobody can tell the secret from what stands in the row.
create or replace function lease_keeper(p_secret uuid) returns uuid
language sql immutable
set search_path from current
as $$ select left(encode(sha256(convert_to(p_secret::text, 'UTF8')), 'hex'), 32)::uuid $$;
