-- The claims of rows that stand beside their table, and not in columns of it. A row that has none here is free.
create or replace view claims as
select c.tenant, c.source_id, c.key, c.token, c.holder_id, c.attempts, c.due, c.error
from claim c;
