-- Claims of rows that have been given back, left by somebody, or set aside: one entry each.
create or replace view claim_entries as
select tenant, source_id, key, token, holder_id, attempts, due, error from claim;
