-- Who is in whose way: a row for each of those who wait and each of those who have what they wait for. Of a lock that is
-- shared the way may also be barred by the first who waits for it alone. Whoever waits for a lease and does not stand in
-- line has no application here. Not in it: who waits for the last place of all tenants together.
create or replace view blocked as
with found as materialized (select * from locks)
select 'lock' as kind, null as tenant, null as name, w.key, w.mode, w.application, w.pid, w.since,
       b.application as by_application, b.pid as by_pid, null::bigint as by_token
from found w join found b on b.key = w.key and b.granted and (w.mode = 'exclusive' or b.mode = 'exclusive')
where not w.granted
union all
select 'lock', null, null, w.key, w.mode, w.application, w.pid, w.since, b.application, b.pid, null
from found w
join (select distinct on (f.key) f.* from found f where not f.granted and f.mode = 'exclusive' order by f.key, f.since) b
  on b.key = w.key and b.since < w.since
where not w.granted and w.mode = 'shared'
union all
select 'lease', w.tenant, w.name, null, w.mode, w.application, null, w.since, h.application, null, l.token
from waiters w
join lease l on l.tenant = w.tenant and l.name = w.name and not (l.shared and coalesce(w.mode = 'shared', false))
join holder h on h.id = l.holder_id
where w.kind = 'lease' and coalesce(l.expires_at, h.expires_at) > clock_timestamp();
