-- What claims that stand beside their table are kept under: the table, and the columns that name a row and its tenant.
create or replace view claim_sources as
select s.id, s.relation, s.key, s.tenant
from claim_source s;
