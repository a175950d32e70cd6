-- What a claim has to know before it looks for rows that nobody has, all of it of one moment: the batches that there
-- are, the keys of the rows that somebody has, and whether more entries have to be asked for each row. Not open: there
-- are rows that are left by the dead or due again, and could come before the others in the order. Of batches and keys
-- only those that are later than p_since: what is behind the place where that claim ended is hardly of an older one.
-- p_alone: open in any case. A moment ago none of the others was wanted.
create or replace function claim_look(
  p_source integer, p_turns boolean, p_since bigint, p_numbers boolean, p_alone boolean,
  out open boolean, out entries boolean, out seen bigint[], out flight text[], out runs int8multirange)
language plpgsql volatile security definer
set search_path from current
set enable_seqscan = off
as $$
declare
  v_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  v_dead uuid[];
begin
  -- Two that look at one time find the same rows, and what one claims the other has read and locked in vain: with four
  -- at a time a row costs the server 44 us, one after the other 26 (500 rows each, PostgreSQL 18). So large claims wait
  -- for one another. Of small ones each would wait for the disk of all before it.
  if p_turns and not pg_try_advisory_xact_lock(1179535684, p_source) then
    perform claim_queue(p_source);
  end if;
  v_dead := claim_dead(array(
    select c.holder_id from claim c where c.source_id = p_source and c.holder_id > v_nobody
    union select b.holder_id from claim_batch b where b.source_id = p_source));
  open := p_alone or cardinality(v_dead) = 0 and not exists (
    select from claim c where c.source_id = p_source and c.holder_id = v_nobody and c.due <= now());
  if open then
    -- Entries in flight come first in the order, so to look each of them up would cost more than to know them.
    select
      exists (select from claim c where c.source_id = p_source and c.holder_id is not null),
      array(select b.token from claim_batch b where b.source_id = p_source and b.token > p_since),
      array(
        select unnest(b.keys) from claim_batch b
        where b.source_id = p_source and b.token > p_since and bit_count(b.settled) = 0 and not (p_numbers and b.run is not null)
        union all
        select k.key from claim_batch b, unnest(b.keys) with ordinality k(key, place)
        where b.source_id = p_source and b.token > p_since and bit_count(b.settled) > 0 and get_bit(b.settled, k.place::integer - 1) = 0
        union all
        (select c.key from claim c where c.source_id = p_source and c.holder_id > v_nobody and p_since = 0 limit 20000)),
      (select coalesce(range_agg(b.run), '{}') from claim_batch b
        where b.source_id = p_source and b.token > p_since and bit_count(b.settled) = 0 and p_numbers and b.run is not null)
    into entries, seen, flight, runs;
  end if;
end
$$;
