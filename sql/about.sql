-- What a client asks before its first statement that needs the schema.
create or replace function about(out version integer, out oldest_client integer, out token_cache bigint)
language sql stable security definer
set search_path from current
as $$
  select s.version, s.oldest_client, q.seqcache
  from state s, pg_catalog.pg_sequence q
  where q.seqrelid = 'token'::regclass
$$;
