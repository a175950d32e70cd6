-- What was revoked of a holder, each as tenant, name, slot and token: leases that were granted together have one token.
-- Those it has been told of are forgotten.
create or replace function holder_revoked(p_holder uuid, p_told jsonb) returns jsonb
language plpgsql volatile security definer
set search_path from current
as $$
begin
  delete from revocation r
  where r.holder_id = p_holder
    and jsonb_build_array(r.tenant, r.name, r.slot, r.token::text) in (select jsonb_array_elements(p_told));
  return (
    select coalesce(jsonb_agg(jsonb_build_array(r.tenant, r.name, r.slot, r.token::text)), '[]')
    from revocation r where r.holder_id = p_holder);
end
$$;
