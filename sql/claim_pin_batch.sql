-- Whether a claim in a batch is not settled. The calling transaction has locked its row: until it ends nobody else can
-- claim that.
create or replace function claim_pin_batch(p_source integer, p_token bigint, p_place integer) returns boolean
language plpgsql volatile security definer
set search_path from current
as $$
begin
  return exists (
    select from claim_batch b
    where b.source_id = p_source and b.token = p_token and get_bit(b.settled, p_place - 1) = 0);
end
$$;
