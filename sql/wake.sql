-- Tells whoever listens that leases have become free: of a resource as often as it is named, for one who waits at a
-- time. Other roles may listen too, so a lease is told by the number of its key, not by its name.
create or replace function wake(p_tenants text[], p_names text[]) returns void
language plpgsql volatile
set search_path from current
as $$
declare
  v_payload text;
begin
  if cardinality(p_names) = 1 then
    perform pg_notify(channel(), key_in('', p_tenants[1], p_names[1])::text);
    return;
  end if;
  for v_payload in
    select string_agg(key::text, ',') from (
      select key_in('', a.tenant, a.name) as key
      from unnest(p_tenants, p_names) a(tenant, name)) k
    group by width_bucket(key, -9223372036854775808, 9223372036854775807, 1 + cardinality(p_names) / 200)
  loop
    perform pg_notify(channel(), v_payload);
  end loop;
end
$$;
