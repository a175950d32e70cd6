-- What a client asks on each connection before its first statement that needs the schema. adopted: the tokens go on in
-- this database system, and not in one that this schema was copied from.
create or replace function about(
  out version integer, out oldest_client integer, out token_cache bigint, out adopted boolean)
language sql stable security definer
set search_path from current
as $$
  select s.version, s.oldest_client, q.seqcache, s.system_identifier = c.system_identifier
  from state s, pg_catalog.pg_sequence q, pg_catalog.pg_control_system() c
  where q.seqrelid = 'token'::regclass
$$;
