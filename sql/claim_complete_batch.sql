-- Ends claims in batches, of each batch those in its mask: those that are not settled. Answers them as masks, in the
-- order of the tokens, and the keys of their rows.
create or replace function claim_complete_batch(
  p_source integer, p_tokens bigint[], p_masks bit varying[], out ended bit varying[], out keys text[])
language plpgsql volatile security definer
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_at integer;
  v_batch record;
begin
  keys := '{}';
  for v_at in select t.number from unnest(p_tokens) with ordinality t(token, number) order by t.token loop
    select * into v_batch from claim_end_batch(p_source, p_tokens[v_at], p_masks[v_at], false);
    ended[v_at] := v_batch.ended;
    if bit_count(v_batch.ended) = length(v_batch.ended) then
      keys := keys || v_batch.keys;
    elsif v_batch.ended is not null then
      keys := keys || array(
        select k.key from unnest(v_batch.keys) with ordinality k(key, place)
        where get_bit(v_batch.ended, k.place::integer - 1) = 1);
    end if;
  end loop;
end
$$;
