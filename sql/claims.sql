-- The claims of rows that stand beside their table, and not in columns of it. A row that has none here is free.
-- relation: their table.
create or replace view claims as
select c.tenant, c.source_id, c.key, c.token, c.holder_id, c.attempts, c.due, c.error, s.relation
from claim c
left join claim_source s on s.id = c.source_id;
