-- Up Migration
-- Runs with search_path = <schema>, pg_temp, as those before it.

-- Tables whose claims are kept here, and how those name its rows.
create table claim_source (
  id integer primary key generated always as identity,
  -- Dumps and upgrades write its name, and know it again by that.
  relation regclass not null unique,
  key text[] not null,
  tenant text
);

-- The claim of a row that somebody has or had. holder_id null: free. The nil uuid, which no holder has: free from due
-- on. Texts are compared by their bytes, whatever the locale of the server does in its next version.
create table claim (
  tenant text collate "C" not null,
  source_id integer not null,
  key text collate "C" not null,
  token bigint not null,
  holder_id uuid,
  attempts integer not null,
  due timestamptz not null default '-infinity',
  error text,
  primary key (tenant, source_id, key)
) with (fillfactor = 70);

-- Finds the claims of the dead, and those that are due, and whether there are any of a table.
create index claim_kept on claim (source_id, holder_id, due);

-- What one call claimed of rows that had no claim before: one row here for all of them. A row is in it by its place in
-- keys, as long as the bit there is not set; that of a place that is none's was set from the beginning. tenants: one,
-- when all have the same. first, last and run: of the keys, see claim_range.
create table claim_batch (
  source_id integer not null,
  token bigint not null,
  holder_id uuid not null,
  tenants text[] not null,
  keys text[] not null,
  first text collate "C" not null,
  last text collate "C" not null,
  run int8range,
  settled bit varying not null,
  primary key (source_id, token)
) with (fillfactor = 70);
alter table claim_batch alter keys set storage external;

-- Which of these holders are dead, for a claim that found rows of them. The expired ones are buried here, each under
-- its own lock; one that is gone never comes back, so the answer stays true. A claim relies on seeing what was
-- committed while it ran: in another isolation than READ COMMITTED it is refused before it has locked anything.
create or replace function claim_dead(p_holders uuid[]) returns uuid[]
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_live uuid[];
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'a claim needs READ COMMITTED, not %', upper(current_setting('transaction_isolation'))
      using errcode = 'FP004';
  end if;
  if exists (select from holder where id = any (p_holders) and expires_at <= v_now) then
    delete from holder where id in (
      select id from holder where id = any (p_holders) and expires_at <= v_now order by id
      for update skip locked);
  end if;
  v_live := array(select id from holder where id = any (p_holders));
  return array(select h from unnest(p_holders) h where h <> all (v_live));
end
$$;

-- The token for rows that the calling transaction has locked to claim them for this holder, to be raised for each row
-- above the row's own.
create or replace function claim_token(p_holder uuid, p_epoch integer) returns bigint
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_token bigint;
  v_floor bigint;
begin
  perform durable();
  perform holder_check(p_holder, p_epoch);
  v_token := next_token();
  select token_floor + 1 into v_floor from state;
  return greatest(v_token, v_floor);
end
$$;

-- Claims of rows that have been given back, left by somebody, or set aside: one entry each.
create or replace view claim_entries as
select tenant, source_id, key, token, holder_id, attempts, due, error from claim;

-- What rows were claimed together for the first time, as long as one of them is not settled.
create or replace view claim_batches as
select source_id, token, holder_id from claim_batch;

-- The rows of those that are not settled.
create or replace view claim_batch_rows as
select b.source_id, b.token, b.holder_id, coalesce(k.tenant, b.tenants[1]) collate "C" as tenant, k.key collate "C" as key,
  k.place::integer as place
from claim_batch b, unnest(b.keys, b.tenants) with ordinality k(key, tenant, place)
where get_bit(b.settled, k.place::integer - 1) = 0;

-- The claims of rows that stand beside their table, and not in columns of it. A row that has none here is free.
-- relation: their table.
create or replace view claims as
select c.tenant, c.source_id, c.key, c.token, c.holder_id, c.attempts, c.due, c.error, s.relation
from (
  select tenant, source_id, key, token, holder_id, attempts, due, error from claim
  union all
  select tenant, source_id, key, token, holder_id, 1, '-infinity', null from claim_batch_rows
) c
left join claim_source s on s.id = c.source_id;

-- What claims that stand beside their table are kept under: the table, and the columns that name a row and its tenant.
create or replace view claim_sources as
select s.id, s.relation, s.key, s.tenant
from claim_source s;

-- What a claimed row is, by who has it (the nil uuid is nobody), whether that lives, and when it is due.
create or replace function claim_state(holder uuid, alive boolean, due timestamptz) returns text
language sql immutable parallel safe
return case when holder = '00000000-0000-0000-0000-000000000000'
              then case when due = 'infinity' then 'aside' else 'waiting' end
            when alive then 'claimed' else 'left' end;

-- Claimed rows by table, tenant and state, of all tables that the caller may read: 'claimed' by a process that lives,
-- 'left' by one that died, 'waiting' for another attempt, 'aside'. tenant is null where the table has none, or none
-- that its indexes tell of. Rows that nobody has are not counted, and of each table at most p_most. A table that is being
-- altered is waited for a second.
create or replace function claim_counts(p_most integer default 100000)
returns table (relation regclass, tenant text, state text, count bigint)
language plpgsql volatile
set search_path from current
set lock_timeout = '1s'
as $$
declare
  v_table record;
begin
  return query
  select s.relation::regclass, case when s.tenant is not null then c.tenant end, c.state, count(*)
  from claim_sources s, lateral (
    select k.tenant, claim_state(k.holder_id, h.alive, k.due) as state
    from claims k left join holders h on h.id = k.holder_id
    where k.source_id = s.id and k.holder_id is not null limit p_most) c
  where has_table_privilege(s.relation, 'select')
  group by 1, 2, 3;
  for v_table in
    -- Of the two indexes that claims of a tenant walk, one is the other with the tenant before it.
    with free as (
      select i.indrelid, pg_get_expr(i.indpred, i.indrelid) as where, i.indkey::integer[] as columns
      from pg_index i where i.indpred is not null and i.indexprs is null and i.indisvalid)
    select r.oid, (
      select a.attname from free b join free w on w.indrelid = b.indrelid and w.where = b.where
      join pg_attribute a on a.attrelid = b.indrelid and a.attnum = w.columns[0]
      where b.indrelid = r.oid and b.where like '%(fencepost_holder IS NULL)%'
        and array_length(w.columns, 1) = array_length(b.columns, 1) + 1
        and array_to_string(w.columns, ' ') = w.columns[0] || ' ' || array_to_string(b.columns, ' ')
      limit 1) as tenant
    from pg_class r
    where r.relkind in ('r', 'p') and has_table_privilege(r.oid, 'select') and 2 = (
      select count(*) from pg_attribute a
      where a.attrelid = r.oid and a.attname in ('fencepost_holder', 'fencepost_due') and not a.attisdropped)
  loop
    return query execute format(
      'select %L::regclass, %s, claim_state(c.holder, h.alive, c.due), count(*)
       from (select %s as tenant, fencepost_holder as holder, fencepost_due as due from %s
             where fencepost_holder is not null limit $1) c
       left join holders h on h.id = c.holder group by 2, 3',
      v_table.oid::regclass, case when v_table.tenant is null then 'null::text' else 'c.tenant' end,
      case when v_table.tenant is null then 'null::text' else quote_ident(v_table.tenant) || '::text' end,
      v_table.oid::regclass) using p_most;
  end loop;
end
$$;

-- What claims of this table are kept under. All its claims name their rows alike, by these columns and by this column
-- of the tenant: two that named one row differently would not exclude each other. While there are none it may change.
create or replace function claim_source(p_relation regclass, p_key text[], p_tenant text) returns integer
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_source claim_source;
begin
  select * into v_source from claim_source s where s.relation = p_relation;
  if v_source.key = p_key and v_source.tenant is not distinct from p_tenant then
    return v_source.id;
  end if;
  -- Whoever is about to claim under the old names ends before, or finds them gone.
  lock table claim_batch, claim in share row exclusive mode;
  delete from claim_batch b using claim_source s
  where b.source_id = s.id and not exists (select from pg_class r where r.oid = s.relation);
  delete from claim c using claim_source s
  where c.source_id = s.id and not exists (select from pg_class r where r.oid = s.relation);
  delete from claim_source s
  where not exists (select from pg_class r where r.oid = s.relation)
    or s.relation = p_relation and not exists (select from claim c where c.source_id = s.id)
      and not exists (select from claim_batch b where b.source_id = s.id)
      and (s.key <> p_key or s.tenant is distinct from p_tenant);
  insert into claim_source (relation, key, tenant) values (p_relation, p_key, p_tenant) on conflict do nothing;
  select * into v_source from claim_source s where s.relation = p_relation;
  if v_source.key <> p_key or v_source.tenant is distinct from p_tenant then
    raise exception 'the claims of % name its rows by % and the tenant by %', p_relation,
      array_to_string(v_source.key, ', '), coalesce(v_source.tenant, 'nothing') using errcode = 'FP005';
  end if;
  return v_source.id;
end
$$;

-- Between which places the keys of a batch stand, so that few rows need not be looked for in all batches: shorter keys
-- come first, so numbers stand in their order and batches of neighbours have nothing in common. And which run of
-- numbers they are, when all of it is there: a look knows that without its keys. Numbers below zero are no run.
create or replace function claim_range(p_keys text[], out first text, out last text, out run int8range)
language plpgsql immutable
set search_path from current
as $$
begin
  select min(k.place collate "C"), max(k.place collate "C") into first, last from (
    select case when key like '-%' then ' ' else chr(33 + least(octet_length(key), 90)) end || key as place
    from unnest(p_keys) key offset 0) k;
  if first ~ '^[^ ][0-9]{1,18}$' and last ~ '^.[0-9]{1,18}$' then
    run := int8range(substr(first, 2)::bigint, substr(last, 2)::bigint, '[]');
    if upper(run) - lower(run) <> cardinality(p_keys) then
      run := null;
    end if;
  end if;
end
$$;

-- Writes what is claimed together, under this token or one above it. A null among the keys is a row of which the claim
-- was refused: it is settled. first, last and run: of the keys, as claim_range has them.
create or replace function claim_batch_add(
  p_holder uuid, p_source integer, p_token bigint, p_tenants text[], p_keys text[],
  p_first text, p_last text, p_run int8range)
returns bigint
language plpgsql volatile
set search_path from current
as $$
declare
  v_token bigint := p_token;
begin
  loop
    insert into claim_batch as b (source_id, token, holder_id, tenants, keys, first, last, run, settled)
    select p_source, v_token, p_holder,
      case when p_tenants[1] = all (p_tenants) then p_tenants[1:1] else p_tenants end, p_keys,
      p_first, p_last, p_run,
      case when array_position(p_keys, null) is null then repeat('0', cardinality(p_keys)) else (
        select string_agg(case when f.key is null then '1' else '0' end, '' order by f.place)
        from unnest(p_keys) with ordinality f(key, place)) end::bit varying
    on conflict do nothing;
    exit when found;
    v_token := v_token + 1;
  end loop;
  return v_token;
end
$$;

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

-- Waits for the other large claims of the table, but not for long: one of them may be a client's that froze.
create or replace function claim_queue(p_source integer) returns void
language plpgsql volatile
set search_path from current
set lock_timeout = '500ms'
as $$
begin
  perform pg_advisory_xact_lock(1179535684, p_source);
exception when lock_not_available then
  null;
end
$$;

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

-- Runs the statement with which fresh rows are claimed: as the caller, and as a statement of its own, so that it sees
-- what was committed before claim_look answered. What it knows of claims is what that said. No statement, no rows.
-- p_steps: the same by steps over runs. To plan it costs 0.7 ms more, which is what 4,000 rows in flight cost (PostgreSQL
-- 18).
create or replace function claim_run(
  p_text text, p_steps text, p_holder uuid, p_epoch integer, p_limit integer, p_tenant text, p_seen bigint[], p_flight text[],
  p_entries boolean, p_runs int8multirange)
returns setof record
language plpgsql volatile
as $$
declare
  v_text text := p_text;
begin
  if p_text is not null then
    if p_steps is not null and (select sum(upper(r) - lower(r)) from unnest(p_runs) r) > 4000 then
      v_text := p_steps;
    end if;
    return query execute v_text using p_holder, p_epoch, p_limit, p_tenant, p_seen, p_flight, p_entries, p_runs;
  end if;
end
$$;

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

-- Ends claims of rows that the calling transaction has locked and completes: those that still have this token.
create or replace function claim_settle(p_source integer, p_tenants text[], p_keys text[], p_tokens bigint[])
returns setof claim
language plpgsql volatile security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  v_found tid[];
begin
  -- Looked up one by one: to join a table that was empty a moment ago, Postgres compares each claim with each key.
  -- coalesce leaves it no index but that of the key. Locked first: by its place a claim is found that nobody moves.
  v_found := array(
    select (
      select c.ctid from claim c
      where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key and c.token = a.token
        and coalesce(c.holder_id, v_nobody) <> v_nobody
      limit 1 for update)
    from unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token));
  return query delete from claim c where c.ctid = any (v_found) returning c.*;
end
$$;

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

-- Gives rows that the dead have in batches an entry each, as left by them: of those named, for a claim that has locked
-- them. Answers the names that could not be had: a batch that somebody settles in is passed by, so that no claim waits
-- for one who waits for its rows.
create or replace function claim_leave(p_source integer, p_dead uuid[], p_keys text[]) returns text[]
language plpgsql volatile
set search_path from current
as $$
declare
  v_left claim_batch_rows[] := array(
    select r from claim_batch_rows r
    where r.source_id = p_source and r.holder_id = any (p_dead) and (r.key in (select unnest(p_keys))) is true);
  v_settled integer[] := claim_settle_batch(
    p_source, array(select (r).token from unnest(v_left) r), array(select (r).place from unnest(v_left) r), true);
begin
  insert into claim (tenant, source_id, key, token, holder_id, attempts)
  select l.tenant, p_source, l.key, l.token, l.holder_id, 1
  from unnest(v_left) with ordinality l(source_id, token, holder_id, tenant, key, place, number)
  where v_settled[l.number] = 1 order by l.tenant, l.key
  on conflict do nothing;
  return array(
    select l.key from unnest(v_left) with ordinality l(source_id, token, holder_id, tenant, key, place, number)
    where v_settled[l.number] = 0);
end
$$;

-- Whether a claim still has this token: then nobody changes that before the calling transaction ends.
create or replace function claim_pin(p_source integer, p_tenant text, p_key text, p_token bigint) returns boolean
language plpgsql volatile security definer
set search_path from current
as $$
begin
  perform from claim c
  where c.tenant = p_tenant and c.source_id = p_source and c.key = p_key and c.token = p_token
    and c.holder_id <> '00000000-0000-0000-0000-000000000000'
  for no key update;
  return found;
end
$$;

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

-- Gives claims back that still have this token. after: milliseconds until the row may be claimed again, negative sets
-- it aside. unused: the attempt does not count. A claim that then says nothing is gone.
create or replace function claim_return(
  p_source integer, p_tenants text[], p_keys text[], p_tokens bigint[], p_after float8[], p_errors text[],
  p_unused boolean[])
returns setof claim
language plpgsql volatile security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  v_now timestamptz := clock_timestamp();
begin
  -- In the order of claim_take.
  perform from claim c, unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token)
  where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key and c.token = a.token
  order by c.tenant, c.key for no key update of c;
  return query
  update claim c set
    holder_id = case when a.after = 0 then null else v_nobody end,
    due = case when a.after < 0 then 'infinity' else v_now + a.after * interval '1 millisecond' end,
    attempts = c.attempts - a.unused::integer,
    error = coalesce(nullif(a.error, ''), c.error)
  from unnest(p_tenants, p_keys, p_tokens, p_after, p_errors, p_unused) a(tenant, key, token, after, error, unused)
  where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key and c.token = a.token
    and c.holder_id <> v_nobody
  returning c.*;
  delete from claim c using unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token)
  where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key and c.token = a.token
    and c.holder_id is null and c.attempts = 0 and c.error is null;
end
$$;

-- Gives claims in batches back, as claim_return does those that have an entry: each gets one, unless it would say
-- nothing.
create or replace function claim_return_batch(
  p_source integer, p_tokens bigint[], p_places integer[], p_after float8[], p_errors text[], p_unused boolean[])
returns integer[]
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  v_now timestamptz := clock_timestamp();
  v_rows claim_batch_rows[] := array(
    select r from claim_batch_rows r where r.source_id = p_source and r.token = any (p_tokens));
  v_settled integer[] := claim_settle_batch(p_source, p_tokens, p_places);
begin
  insert into claim (tenant, source_id, key, token, holder_id, attempts, due, error)
  select r.tenant, p_source, r.key, r.token, case when a.after = 0 then null else v_nobody end, 1 - a.unused::integer,
    case when a.after < 0 then 'infinity' else v_now + a.after * interval '1 millisecond' end, nullif(a.error, '')
  from unnest(p_tokens, p_places, p_after, p_errors, p_unused, v_settled) a(token, place, after, error, unused, settled)
  join unnest(v_rows) r on r.token = a.token and r.place = a.place
  where a.settled = 1 and not (a.after = 0 and a.unused and a.error = '')
  order by r.tenant, r.key
  on conflict do nothing;
  return v_settled;
end
$$;

-- Frees what a holder has of a table and does not know of: an answer was lost. Those attempts do not count. place: of
-- a claim in a batch; 0 of one that has an entry.
create or replace function claim_free(
  p_source integer, p_holder uuid, p_tenants text[], p_keys text[], p_tokens bigint[], p_places integer[])
returns void
language sql volatile security definer
set search_path from current
as $$
  select claim_settle_batch(p_source, array_agg(r.token), array_agg(r.place)) from claim_batch_rows r
  where r.source_id = p_source and r.holder_id = p_holder and (r.token, r.place) not in (
    select a.token, a.place from unnest(p_tokens, p_places) a(token, place))
  having count(*) > 0;
  update claim c set holder_id = null, attempts = c.attempts - 1
  where c.source_id = p_source and c.holder_id = p_holder and not exists (
    select from unnest(p_tenants, p_keys, p_tokens, p_places) a(tenant, key, token, place)
    where c.tenant = a.tenant and c.key = a.key and c.token = a.token and a.place = 0)
$$;

-- Forgets that rows wait for another attempt, or were set aside; answers how many.
create or replace function claim_retry(p_source integer, p_tenants text[], p_keys text[]) returns bigint
language sql volatile security definer
set search_path from current
as $$
  with retried as (
    delete from claim c using unnest(p_tenants, p_keys) a(tenant, key)
    where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key
      and c.holder_id = '00000000-0000-0000-0000-000000000000'
    returning 1)
  select count(*) from retried
$$;

-- Forgets claims of rows that are gone, as far as nobody who lives has them, and nothing has changed meanwhile.
create or replace function claim_forget(p_source integer, p_tenants text[], p_keys text[], p_tokens bigint[])
returns bigint
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_rows claim_batch_rows[];
  v_settled integer[];
  v_entries bigint;
begin
  -- Is true: hashed. A join would compare each row with each of them, a second for a thousand of 10,000.
  v_rows := array(
    select r from claim_batch_rows r
    where r.source_id = p_source and r.holder_id not in (select id from holder) and ((r.tenant, r.key, r.token) in (
      select a.tenant, a.key, a.token from unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token))) is true);
  v_settled := claim_settle_batch(
    p_source, array(select (r).token from unnest(v_rows) r), array(select (r).place from unnest(v_rows) r));
  with forgotten as (
    delete from claim c using unnest(p_tenants, p_keys, p_tokens) a(tenant, key, token)
    where c.tenant = a.tenant and c.source_id = p_source and c.key = a.key and c.token = a.token
      and not exists (select from holder h where h.id = c.holder_id)
    returning 1)
  select count(*) into v_entries from forgotten;
  return v_entries + (select count(*) from unnest(v_settled) s where s = 1);
end
$$;

-- Claims of a table that has a limit for each key take turns: between what one counts and what it commits no other may
-- claim. The answer is there to be waited for.
create or replace function claim_turn(p_table oid) returns boolean
language plpgsql volatile security definer
set search_path from current
as $$
begin
  perform pg_advisory_xact_lock(1179535683, p_table::bigint::bit(32)::integer);
  -- Nobody waits for a client that froze before its commit, where that is a message of its own.
  perform set_config('idle_in_transaction_session_timeout', '10000', true);
  return true;
end
$$;

-- How many rows the living have of each key, by a query on the caller's own table. Here it sees what was committed
-- until now; in the statement that calls this it would see what was there when that began, perhaps before its turn.
create or replace function claim_live(p_count text, p_dead uuid[]) returns jsonb
language plpgsql volatile
as $$
declare
  v_live jsonb;
begin
  execute p_count into v_live using p_dead;
  return v_live;
end
$$;

-- The trigger on a user's table, after each statement: tells that rows may have come, when somebody wants to know. A
-- NOTIFY makes the commits of the whole database wait for each other, so it is sent once, and then when somebody has
-- asked anew: not at all while all workers are busy, and at most every few milliseconds (claim_wanted).
create or replace function claim_wake() returns trigger
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_wish regclass := to_regclass('wanted_' || tg_relid);
  v_now bigint := extract(epoch from clock_timestamp()) * 1000;
begin
  if pg_sequence_last_value(v_wish) between 1 and v_now then
    perform setval(v_wish, -v_now);
    perform pg_notify(channel(), 'claim:' || tg_relid);
  end if;
  return null;
end
$$;

-- Asks that inserts into this table be told of. Answers in how many milliseconds that begins: whoever asks looks for
-- rows then, once more, and waits from there on. Null: the table has no trigger that would tell.
-- The wish stands in a sequence, because that belongs to no transaction: nobody waits for it, no insert fails over it.
-- From zero on it is a time in milliseconds, from which on somebody wants to be told; below zero, when it was told.
-- All who wait are told, and each of them looks: so the more processes there are, the less often. One is told after 5 ms
-- again, ten or more after 50: 200 looks a second by all together. Of storage held nobody knows how many there are.
create or replace function claim_wanted(p_table oid) returns integer
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_name text := format('%I.%I', current_schema(), 'wanted_' || p_table);
  v_rate bigint := (
    select case count(*) when 0 then 50 else 5 * count(*) end from (select from holder limit 10) h);
  v_now bigint := extract(epoch from clock_timestamp()) * 1000;
  v_wish bigint;
  v_gone text;
begin
  if not exists (
    select from pg_trigger
    where tgrelid = p_table and tgfoid = 'claim_wake()'::regprocedure and tgenabled in ('O', 'A')) then
    return null;
  end if;
  if to_regclass(v_name) is null then
    begin
      for v_gone in
        select c.oid::regclass from pg_class c
        where c.relkind = 'S' and c.relnamespace = quote_ident(current_schema())::regnamespace and c.relname ~ '^wanted_\d+$'
          and not exists (select from pg_class t where t.oid = substr(c.relname, 8)::oid)
      loop
        execute format('drop sequence if exists %s', v_gone);
      end loop;
      execute format('create sequence %s minvalue %s start 0', v_name, -9223372036854775808);
    exception when duplicate_table or unique_violation or undefined_table then
      null; -- somebody else does the same
    end;
  end if;
  v_wish := coalesce(pg_sequence_last_value(v_name::regclass), 0);
  -- One that lies ahead of what the rate can account for comes from before the clock was set back.
  if v_wish <= 0 or v_wish > v_now + v_rate then
    v_wish := least(greatest(v_now, v_rate - least(v_wish, 0)), v_now + v_rate);
    perform setval(v_name::regclass, v_wish);
  end if;
  return greatest(v_wish - v_now, 0);
end
$$;

-- Private, whatever default privileges the owner has set for what it creates.
do $$
declare
  v_object record;
begin
  for v_object in
    select o.kind, o.name, case a.grantee when 0 then 'public' else a.grantee::regrole::text end as role
    from (
      select 'function', p.oid::regprocedure::text, p.proname, p.pronamespace, p.proowner,
        coalesce(p.proacl, acldefault('f', p.proowner)) from pg_proc p
      union all
      select case c.relkind when 'S' then 'sequence' else 'table' end, c.oid::regclass::text, c.relname, c.relnamespace,
        c.relowner, c.relacl
      from pg_class c where c.relkind in ('r', 'v', 'S')
    ) o(kind, name, bare, schema, owner, acl), aclexplode(o.acl) a
    where o.schema = quote_ident(current_schema())::regnamespace and o.bare ~ '^claim' and a.grantee <> o.owner
  loop
    execute format('revoke all on %s %s from %s', v_object.kind, v_object.name, v_object.role);
  end loop;
end
$$;

-- Down Migration
do $$
declare
  v_sequence text;
begin
  for v_sequence in
    select c.oid::regclass from pg_class c
    where c.relkind = 'S' and c.relnamespace = quote_ident(current_schema())::regnamespace and c.relname ~ '^wanted_\d+$'
  loop
    execute format('drop sequence %s', v_sequence);
  end loop;
end
$$;
drop function claim_wake() cascade;
drop function claim_wanted(oid);
drop view claims, claim_batch_rows, claim_batches, claim_entries, claim_sources;
drop function
  claim_counts(integer),
  claim_state(uuid, boolean, timestamptz),
  claim_dead(uuid[]),
  claim_token(uuid, integer),
  claim_source(regclass, text[], text),
  claim_take(uuid, integer, integer, integer, uuid[], bigint[], text[], text[]),
  claim_leave(integer, uuid[], text[]),
  claim_settle(integer, text[], text[], bigint[]),
  claim_settle_batch(integer, bigint[], integer[], boolean),
  claim_pin(integer, text, text, bigint),
  claim_pin_batch(integer, bigint, integer),
  claim_return(integer, text[], text[], bigint[], float8[], text[], boolean[]),
  claim_return_batch(integer, bigint[], integer[], float8[], text[], boolean[]),
  claim_free(integer, uuid, text[], text[], bigint[], integer[]),
  claim_retry(integer, text[], text[]),
  claim_forget(integer, text[], text[], bigint[]),
  claim_turn(oid),
  claim_live(text, uuid[]);
drop table claim_batch, claim, claim_source;
