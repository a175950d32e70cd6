-- Claims rows for this holder: of those named, the ones that nobody has, or a dead holder. The calling transaction has
-- locked the rows themselves. What it saw of their claims before may be out of date by then: locking a row shows
-- nothing of a claim that was made beside it. So it is looked up here again, in batches that were not seen, and by the
-- key of each entry; whoever claims a row has it locked until the commit, so what is not there now nobody adds.
-- Answers by their places: 'b' in a batch, 'c' in an entry, 'a' set aside.
create or replace function claim_take(
  p_holder uuid, p_epoch integer, p_source integer, p_attempts integer, p_dead uuid[], p_seen bigint[],
  p_tenants text[], p_keys text[])
returns table (place integer, token bigint, attempts integer, kind text)
language plpgsql volatile security definer
set search_path from current
set enable_seqscan = off
as $$
declare
  v_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  v_token bigint := claim_token(p_holder, p_epoch);
  v_flight text[];
  v_fresh text[];
  v_old boolean[];
begin
  -- Batches first: what leaves one for an entry is then found there.
  v_flight := array(
    select r.key from claim_batch_rows r
    where r.source_id = p_source and r.token <> all (p_seen) and r.holder_id <> all (p_dead));
  if exists (select from claim_batch b where b.source_id = p_source and b.holder_id = any (p_dead)) then
    v_flight := v_flight || claim_leave(p_source, p_dead, p_keys);
  end if;
  if cardinality(v_flight) = 0 and not exists (select from claim c where c.source_id = p_source) then
    v_fresh := p_keys;
  else
    select array_agg(case when not a.flight and not a.entry then a.key end order by a.place),
      array_agg(a.entry and not a.flight order by a.place)
    into v_fresh, v_old
    from (
      select k.key, k.place, coalesce(k.key in (select unnest(v_flight)), false) as flight, coalesce((
        select true from claim c where c.tenant = k.tenant and c.source_id = p_source and c.key = k.key limit 1), false) as entry
      from unnest(p_tenants, p_keys) with ordinality k(tenant, key, place) offset 0) a;
  end if;
  if cardinality(array_remove(v_fresh, null)) > 0 then
    v_token := (
      select claim_batch_add(p_holder, p_source, v_token, p_tenants, v_fresh, r.first, r.last, r.run)
      from claim_range(v_fresh) r);
    return query select f.place::integer, v_token, 1, 'b' from unnest(v_fresh) with ordinality f(key, place)
      where f.key is not null;
  end if;
  if true = any (v_old) then
    return query
    with taken as (
      insert into claim as c (tenant, source_id, key, token, holder_id, attempts)
      select o.tenant, p_source, o.key, v_token, p_holder, 1
      from unnest(p_tenants, p_keys, v_old) o(tenant, key, old) where o.old
      order by o.tenant collate "C", o.key collate "C"
      on conflict on constraint claim_pkey do update set
        token = greatest(excluded.token, c.token + 1),
        holder_id = case when c.attempts >= p_attempts then v_nobody else excluded.holder_id end,
        attempts = c.attempts + case when c.attempts >= p_attempts then 0 else 1 end,
        due = case when c.attempts >= p_attempts then 'infinity'::timestamptz else '-infinity'::timestamptz end
      where c.holder_id is null or c.holder_id = any (p_dead) and c.due <= clock_timestamp()
      returning c.tenant, c.key, c.token, c.attempts, c.holder_id)
    select o.place::integer, t.token, t.attempts, case when t.holder_id = v_nobody then 'a' else 'c' end
    from taken t join unnest(p_tenants, p_keys) with ordinality o(tenant, key, place)
      on o.tenant = t.tenant and o.key = t.key;
  end if;
  -- After the first write: claim_source keeps all writes out while it changes what claims are kept under.
  if not exists (select from claim_source s where s.id = p_source) then
    raise exception 'the rows of this table are claimed by another key or tenant now' using errcode = 'FP005';
  end if;
end
$$;
