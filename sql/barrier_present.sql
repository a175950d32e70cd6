-- The tokens of the slots of a barrier whose holders live at a given time.
create or replace function barrier_present(p_tenant text, p_name text, p_now timestamptz) returns table (token bigint)
language sql volatile
set search_path from current
as $$
  select l.token from lease l left join holder h on h.id = l.holder_id
  where l.tenant = p_tenant and l.name = p_name and l.holder_id is not null and not l.revoked
    and coalesce(l.expires_at, h.expires_at) > p_now
$$;
