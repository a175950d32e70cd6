-- Stands in the transaction of the write. Passes while nobody has taken, released or revoked the lease since it was
-- granted with this token; from then on nobody can take it before this transaction ends. Otherwise the transaction
-- fails and cannot commit.
create or replace function guard(p_tenant text, p_name text, p_token bigint, p_slot integer default 0) returns void
language plpgsql volatile security definer
set search_path from current
as $$
begin
  -- KEY SHARE: excludes a takeover (FOR UPDATE), and neither other guards nor a release or renewal.
  perform from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot = p_slot and l.token = p_token and l.holder_id is not null
    and not (l.revoked and l.expires_at <= clock_timestamp())
  for key share;
  if not found then
    raise exception 'stale fencing token % for lease %', p_token, p_name
      using errcode = 'FP001',
            detail = 'The lease was taken by another holder, released or revoked.';
  end if;
end
$$;
