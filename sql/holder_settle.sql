-- After a failover: its process has compared what it holds with what is here.
create or replace function holder_settle(p_holder uuid) returns void
language plpgsql volatile security definer
set search_path from current
as $$
begin
  perform durable();
  update holder set timeline = timeline() where id = p_holder;
end
$$;
