-- What rows were claimed together for the first time, as long as one of them is not settled.
create or replace view claim_batches as
select source_id, token, holder_id from claim_batch;
