-- Claims rows for this holder that nobody had when claim_look was asked. The calling transaction has locked the rows
-- themselves. As for claim_take, what was seen of their claims before may be out of date by then, so it is looked up
-- here again: in the batches that were not seen, and by the key of each entry. A row that has an entry is no fresh one,
-- and none is claimed then: there are others than fresh ones to look at, and claim_take gives all of them in order.
-- Answers the token, and for which of the rows: null for all.
create or replace function claim_take_batch(
  p_holder uuid, p_epoch integer, p_source integer, p_seen bigint[], p_tenants text[], p_keys text[],
  out token bigint, out taken bit varying, out others boolean)
language plpgsql volatile security definer
set search_path from current
set enable_seqscan = off
as $$
declare
  v_flight text[];
  v_keys text[] := p_keys;
  v_range record;
begin
  token := claim_token(p_holder, p_epoch);
  others := false;
  -- Batches first: what leaves one for an entry is then found there. Rows come in order, and their keys often do: most
  -- batches have none between these.
  select * into v_range from claim_range(p_keys);
  v_flight := array(
    select f.key from (
      select unnest(b.keys) as key from claim_batch b
      where b.source_id = p_source and b.token <> all (p_seen) and bit_count(b.settled) = 0
        and b.first <= v_range.last and b.last >= v_range.first
      union all
      select k.key from claim_batch b, unnest(b.keys) with ordinality k(key, place)
      where b.source_id = p_source and b.token <> all (p_seen) and bit_count(b.settled) > 0
        and b.first <= v_range.last and b.last >= v_range.first and get_bit(b.settled, k.place::integer - 1) = 0
    ) f where (f.key in (select unnest(p_keys))) is true);
  if exists (select from claim c where c.source_id = p_source) and exists (
    select from unnest(p_tenants, p_keys) k(tenant, key) where (
      select true from claim c where c.tenant = k.tenant and c.source_id = p_source and c.key = k.key limit 1)) then
    others := true;
    taken := repeat('0', cardinality(p_keys))::bit varying;
    return;
  end if;
  if cardinality(v_flight) > 0 then
    select array_agg(case when not a.had then a.key end order by a.place),
      string_agg(case when a.had then '0' else '1' end, '' order by a.place)::bit varying
    into v_keys, taken
    from (
      select k.key, k.place, k.key in (select unnest(v_flight)) as had from unnest(p_keys) with ordinality k(key, place)) a;
    if bit_count(taken) = 0 then
      return;
    end if;
  end if;
  token := claim_batch_add(p_holder, p_source, token, p_tenants, v_keys, v_range.first, v_range.last, v_range.run);
  -- After the first write: claim_source keeps all writes out while it changes what claims are kept under.
  if not exists (select from claim_source s where s.id = p_source) then
    raise exception 'the rows of this table are claimed by another key or tenant now' using errcode = 'FP005';
  end if;
end
$$;
