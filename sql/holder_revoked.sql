-- The tokens of what was revoked of a holder. Those it has been told of are forgotten.
create or replace function holder_revoked(p_holder uuid, p_told bigint[]) returns bigint[]
language plpgsql volatile security definer
set search_path from current
as $$
begin
  delete from revocation r where r.holder_id = p_holder and r.token = any (p_told);
  return array(select r.token from revocation r where r.holder_id = p_holder);
end
$$;
