-- Where this schema tells of leases. A channel has at most 63 bytes.
create or replace function channel() returns text
language sql stable
set search_path from current
as $$
  select 'fencepost_' || left(encode(sha256(convert_to(current_schema(), 'UTF8')), 'hex'), 16)
$$;
