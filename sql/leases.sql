-- What operators see of leases. held: somebody has it as of now.
create or replace view leases as
select l.tenant, l.name, l.slot, l.token, l.holder_id,
       l.holder_id is not null and coalesce(l.expires_at, h.expires_at, '-infinity') > clock_timestamp() as held,
       coalesce(l.expires_at, h.expires_at) as expires_at, l.acquired_at, h.application, l.shared, l.revoked, l.metadata
from lease l
left join holder h on h.id = l.holder_id;
