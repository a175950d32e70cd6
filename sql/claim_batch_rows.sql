-- The rows of those that are not settled.
create or replace view claim_batch_rows as
select b.source_id, b.token, b.holder_id, coalesce(k.tenant, b.tenants[1]) collate "C" as tenant, k.key collate "C" as key,
  k.place::integer as place
from claim_batch b, unnest(b.keys, b.tenants) with ordinality k(key, tenant, place)
where get_bit(b.settled, k.place::integer - 1) = 0;
