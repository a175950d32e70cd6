-- Ends claims in one batch: of the rows in the mask those that are not settled. Answers them, and the keys of all rows
-- of the batch; nothing where there is none to end. What is done to the rows themselves comes after: a batch is locked
-- before the rows of it that are completed, and a claim, which locks rows first, waits for no batch (p_skip).
create or replace function claim_end_batch(
  p_source integer, p_token bigint, p_mask bit varying, p_skip boolean, out ended bit varying, out keys text[])
language plpgsql volatile
set search_path from current
as $$
declare
  v_settled bit varying;
begin
  if p_skip then
    select b.settled, b.keys into v_settled, keys from claim_batch b
    where b.source_id = p_source and b.token = p_token for no key update skip locked;
  else
    select b.settled, b.keys into v_settled, keys from claim_batch b
    where b.source_id = p_source and b.token = p_token for no key update;
  end if;
  if not found then
    return;
  end if;
  ended := substring(p_mask || repeat('0', length(v_settled))::bit varying from 1 for length(v_settled)) & ~v_settled;
  if bit_count(ended) = 0 then
    ended := null;
    return;
  end if;
  v_settled := v_settled | ended;
  if bit_count(v_settled) = length(v_settled) then
    delete from claim_batch b where b.source_id = p_source and b.token = p_token;
  else
    update claim_batch b set settled = v_settled where b.source_id = p_source and b.token = p_token;
  end if;
end
$$;
