-- Ends a holder: whatever still names it is free.
create or replace function holder_close(p_holder uuid) returns void
language plpgsql volatile security definer
set search_path from current
as $$
begin
  perform durable();
  delete from holder where id = p_holder;
  delete from revocation where holder_id = p_holder;
end
$$;
