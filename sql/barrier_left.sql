-- How many of a round, or of earlier ones, are still there. The last one that leaves tells those who wait for it.
create or replace function barrier_left(p_tenant text, p_name text, p_gate bigint) returns integer
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_present integer := (
    select count(*) from barrier_present(p_tenant, p_name, clock_timestamp()) p where p.token <= p_gate);
begin
  if v_present = 0 then
    perform wake(array[p_tenant], array[p_name]);
  end if;
  return v_present;
end
$$;
