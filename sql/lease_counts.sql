-- Leases by tenant and family. It reads the whole table of leases, and counts before it looks who lives: 7 ms for 10,000.
create or replace view lease_counts as
select g.tenant, g.family, sum(g.count)::bigint as known, coalesce(sum(g.count) filter (where g.held), 0)::bigint as held,
       coalesce(sum(g.count) filter (where g.held and g.wanted), 0)::bigint as wanted,
       coalesce(sum(g.count) filter (where g.held and g.revoked), 0)::bigint as revoked,
       extract(epoch from min(g.expires_at) filter (where g.held) - (select clock_timestamp()))::float8 as seconds_left
from (
  select l.tenant, l.family, l.count, l.wanted, l.revoked, coalesce(l.expires_at, h.expires_at) as expires_at,
         l.holder_id is not null and coalesce(l.expires_at, h.expires_at, '-infinity') > (select clock_timestamp()) as held
  from (
    select tenant, family(name) as family, holder_id, expires_at, wanted, revoked, count(*) from lease
    group by 1, 2, 3, 4, 5, 6) l
  left join holder h on h.id = l.holder_id) g
group by 1, 2;
