-- Whether a claim still has this token: then nobody changes that before the calling transaction ends.
create or replace function claim_pin(p_source integer, p_tenant text, p_key text, p_token bigint) returns boolean
language plpgsql volatile security definer
set search_path from current
as $$
begin
  perform from claim c
  where c.tenant = p_tenant and c.source_id = p_source and c.key = p_key and c.token = p_token
    and c.holder_id <> '00000000-0000-0000-0000-000000000000'
  for no key update;
  return found;
end
$$;
