-- Ends claims in batches, by their places: those that are not settled. Answers a 1 for each of them, in the order in
-- which they were asked for.
create or replace function claim_settle_batch(
  p_source integer, p_tokens bigint[], p_places integer[], p_skip boolean default false)
returns integer[]
language plpgsql volatile security definer
set search_path from current
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_most constant bit varying := repeat('0', (select max(place) from unnest(p_places) p(place)));
  v_token bigint;
  v_mask bit varying;
  v_ended bit varying;
  v_tokens bigint[];
  v_masks bit varying[];
begin
  for v_token, v_mask in
    select a.token, bit_or(set_bit(v_most, a.place - 1, 1)) from unnest(p_tokens, p_places) a(token, place)
    group by a.token order by a.token
  loop
    select e.ended into v_ended from claim_end_batch(p_source, v_token, v_mask, p_skip) e;
    if v_ended is not null then
      v_tokens := v_tokens || v_token;
      v_masks := v_masks || v_ended;
    end if;
  end loop;
  return array(
    select coalesce(get_bit(m.ended, a.place - 1), 0)
    from unnest(p_tokens, p_places) with ordinality a(token, place, number)
    left join unnest(v_tokens, v_masks) m(token, ended) on m.token = a.token order by a.number);
end
$$;
