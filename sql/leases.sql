-- What operators see of leases. held: somebody has it as of now. wanted: somebody waits for it, or did a moment ago.
-- seconds_left: until it ends, unless it is renewed. The clock is read once: a query that takes long sees holders as they
-- were when it began, and would take those for dead that have renewed since.
create or replace view leases as
select l.tenant, l.name, l.slot, l.token, l.holder_id,
       l.holder_id is not null and coalesce(l.expires_at, h.expires_at, '-infinity') > (select clock_timestamp()) as held,
       coalesce(l.expires_at, h.expires_at) as expires_at, l.acquired_at, h.application, l.shared, l.revoked, l.metadata,
       l.wanted, family(l.name) as family,
       extract(epoch from coalesce(l.expires_at, h.expires_at) - (select clock_timestamp()))::float8 as seconds_left
from lease l
left join holder h on h.id = l.holder_id;
