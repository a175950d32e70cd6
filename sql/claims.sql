-- The claims of rows that stand beside their table, and not in columns of it. A row that has none here is free.
-- relation: their table.
create or replace view claims as
select c.tenant, c.source_id, c.key, c.token, c.holder_id, c.attempts, c.due, c.error, s.relation
from (
  select tenant, source_id, key, token, holder_id, attempts, due, error from claim
  union all
  select tenant, source_id, key, token, holder_id, 1, '-infinity', null from claim_batch_rows
) c
left join claim_source s on s.id = c.source_id;
