-- Who waits: for session and transaction locks in the server's queue, by their keys, and for leases. Of leases the
-- view has those who stand in line, each with their process, and one row for any number of others, without a process.
create or replace view waiters as
select 'lock' as kind, null as tenant, null as name, l.key, l.mode, l.application, l.pid, l.since
from locks l where not l.granted
union all
select 'lease', t.tenant, t.name, null, case when t.shared then 'shared' else 'exclusive' end, h.application, null, t.since
from ticket t join holder h on h.id = t.holder_id and h.expires_at > clock_timestamp()
union all
select 'lease', l.tenant, l.name, null, null, null, null, null
from lease l
where l.wanted and l.slot = 0 and l.holder_id is not null
  and not exists (select from ticket t where t.tenant = l.tenant and t.name = l.name);
