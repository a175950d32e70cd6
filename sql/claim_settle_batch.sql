-- Ends claims in batches, by their places: those that are not settled. Answers a 1 for each of them, in the order in
-- which they were asked for. What is done to the rows themselves comes after: a batch is locked before the rows of it
-- that are completed, and a claim, which locks rows first, waits for no batch (p_skip).
create or replace function claim_settle_batch(
  p_source integer, p_tokens bigint[], p_places integer[], p_skip boolean default false)
returns integer[]
language plpgsql volatile security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_nestloop = off
set enable_mergejoin = off
as $$
declare
  v_locked bigint[];
  v_numbers bigint[];
  v_tokens bigint[];
  v_settled varbit[];
  v_answer integer[] := array_fill(0, array[cardinality(p_places)]);
  v_number bigint;
begin
  if cardinality(p_places) = 0 then
    return v_answer;
  end if;
  if p_skip then
    v_locked := array(
      select b.token from claim_batch b where b.source_id = p_source and b.token = any (p_tokens)
      order by b.token for no key update skip locked);
  else
    v_locked := array(
      select b.token from claim_batch b where b.source_id = p_source and b.token = any (p_tokens)
      order by b.token for no key update);
  end if;
  -- A query of its own: what the one before waited for it did not see.
  with asked as materialized (
    select a.number, a.place, b.token, b.settled
    from unnest(p_tokens, p_places) with ordinality a(token, place, number)
    join claim_batch b on b.source_id = p_source and b.token = any (v_locked) and b.token = a.token
    where get_bit(b.settled, a.place - 1) = 0
  ), marked as (
    select token, bit_or(set_bit(settled, place - 1, 1)) as settled from asked group by token
  )
  select (select array_agg(number) from asked), array_agg(token), array_agg(settled)
  into v_numbers, v_tokens, v_settled from marked;
  if v_numbers is null then
    return v_answer;
  end if;
  delete from claim_batch b using unnest(v_tokens, v_settled) m(token, settled)
  where b.source_id = p_source and b.token = any (v_tokens) and b.token = m.token and bit_count(m.settled) = length(m.settled);
  update claim_batch b set settled = m.settled from unnest(v_tokens, v_settled) m(token, settled)
  where b.source_id = p_source and b.token = any (v_tokens) and b.token = m.token;
  if cardinality(v_numbers) = cardinality(p_places) then
    return array_fill(1, array[cardinality(p_places)]);
  end if;
  foreach v_number in array v_numbers loop
    v_answer[v_number] := 1;
  end loop;
  return v_answer;
end
$$;
