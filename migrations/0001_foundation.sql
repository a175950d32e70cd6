-- Up Migration
-- Runs with search_path = <schema>, pg_temp. Functions keep that path (SET ... FROM CURRENT); pg_temp stands last, so
-- that no temporary table of a caller comes before ours.

-- The schema must be ours alone: what others create in it could come before pg_catalog's own functions and operators
-- in ours, which run with the owner's rights, and the way down drops every function in it.
do $$
declare
  v_schema oid := (select oid from pg_namespace where nspname = current_schema());
begin
  if has_schema_privilege('public', v_schema, 'create') then
    raise exception 'everybody may create objects in schema "%": choose one for Fencepost alone', current_schema()
      using errcode = '55000';
  end if;
  if exists (select from pg_proc where pronamespace = v_schema)
     or exists (select from pg_class where relnamespace = v_schema
                and relname not in ('migration', 'migration_pkey', 'migration_id_seq')) then
    raise exception 'schema "%" is not empty: choose one for Fencepost alone', current_schema()
      using errcode = '55000';
  end if;
end
$$;

create sequence token as bigint cache 1;

create table state (
  singleton boolean primary key default true check (singleton),
  version integer not null,
  oldest_client integer not null,
  token_floor bigint not null default 0,
  -- Whose tokens these are. pg_upgrade, a dump and a logical copy make a new system with timelines of its own.
  system_identifier bigint not null,
  -- Where the sequence of tokens has last been written to the log as a whole; null: nowhere yet.
  database oid,
  timeline_offset bigint not null default 0,
  -- The greatest timeline + timeline_offset that a token was drawn in.
  era bigint not null default 0
);

-- A living process. Updated by each heartbeat: no index on anything but the id, room for HOT updates.
create table holder (
  id uuid primary key,
  ttl interval not null check (ttl > interval '0'),
  expires_at timestamptz not null,
  epoch integer not null default 0,
  beat_at timestamptz not null,
  opened_at timestamptz not null,
  application text not null default '',
  -- That of the server when it was opened, or settled after a failover.
  timeline bigint not null
) with (fillfactor = 50);

-- holder_id null: free. expires_at null: held as long as the holder's row is there and has not expired.
create table lease (
  tenant text not null check (octet_length(tenant) <= 255),
  name text not null check (octet_length(name) <= 1024),
  slot integer not null default 0 check (slot >= 0),
  token bigint not null default 0,
  holder_id uuid,
  nonce uuid,
  expires_at timestamptz,
  acquired_at timestamptz,
  -- Somebody waits: the release wakes them.
  wanted boolean not null default false,
  -- Held together with others, all of them shared.
  shared boolean not null default false,
  -- Of slot 0: the resource has more rows than this one.
  crowded boolean not null default false,
  -- Taken away by an operator: it ends with its term, whoever renews.
  revoked boolean not null default false,
  metadata jsonb check (octet_length(metadata::text) <= 16384),
  released_at timestamptz,
  primary key (tenant, name, slot),
  check (holder_id is null or nonce is not null)
) with (fillfactor = 60);

-- A place in the queue for a lease. It counts as long as the holder of the process that waits lives.
create table ticket (
  tenant text not null,
  name text not null,
  id bigint not null generated always as identity,
  holder_id uuid not null,
  nonce uuid not null unique,
  shared boolean not null,
  since timestamptz not null,
  primary key (tenant, name, id)
);

-- What a holder has to be told that was taken away from it.
create table revocation (
  holder_id uuid not null,
  tenant text not null,
  name text not null,
  slot integer not null,
  token bigint not null,
  primary key (holder_id, tenant, name, slot, token)
);

-- What the client believes must survive a crash: the commit waits for the disk whatever the role or database says.
-- A setting in a function's SET clause would be undone before the commit; a local one lasts until it.
create or replace function durable() returns void
language plpgsql volatile
set search_path from current
as $$
begin
  if current_setting('synchronous_commit') in ('off', 'local', 'remote_write') then
    perform set_config('synchronous_commit', 'on', true);
  end if;
end
$$;

-- Ends when everything committed before it is on the disk, and on the synchronous standby where there is one.
create or replace function flush() returns void
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_written constant pg_lsn := pg_current_wal_insert_lsn();
begin
  -- Who was woken by what is to be flushed commits in a moment, and that flushes this too. It would have to wait for a
  -- flush under way: 5.4 ms from a release to the next holder are 4.9 when this gives way (a disk of 1.8 ms).
  if current_setting('synchronous_standby_names') = '' then
    for v_try in 1..5 loop
      if pg_current_wal_flush_lsn() >= v_written then
        return;
      end if;
      perform pg_sleep(0.001);
    end loop;
  end if;
  perform durable();
  -- Something has to be written: the commit of a transaction that wrote nothing waits for no disk.
  perform pg_logical_emit_message(true, 'fencepost', '');
end
$$;

-- The WAL timeline: each promotion of a standby begins another. pg_walfile_name shows the new one at once,
-- pg_control_checkpoint only after a checkpoint.
create or replace function timeline() returns bigint
language sql volatile
return ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;

-- Above 44 bits of counter stands the era: the WAL timeline, so that a promoted standby that lost the newest tokens
-- still draws greater ones, plus what adopt has added for the systems that this one continues.
-- Call it only while the rows that get the token are locked.
create or replace function next_token() returns bigint
language plpgsql volatile
set search_path from current
as $$
declare
  v_system bigint := (select system_identifier from pg_control_system());
  v_database oid := (select oid from pg_database where datname = current_database());
  v_state state;
  v_era bigint;
begin
  select * into v_state from state;
  -- The timeline of another system says nothing about the tokens that are out.
  if v_state.system_identifier is distinct from v_system then
    raise exception 'schema "%" comes from another database system (a restore, a copy or an upgrade), which may have given out greater tokens: make sure that nothing uses that one any more, then run "fencepost adopt%"',
      current_schema(), case when current_schema() = 'fencepost' then '' else format(' --schema ''%s''', current_schema()) end
      using errcode = 'FP010';
  end if;
  -- A sequence writes its log once for 32 values. What its template has logged says nothing in a clone, where a crash
  -- would bring those values back: so the first token in a database of another oid logs the sequence anew.
  if v_state.database is distinct from v_database then
    perform from state where database is distinct from v_database for update;
    if found then
      perform setval('token', nextval('token'));
      update state set database = v_database;
    end if;
  end if;
  v_era := timeline() + v_state.timeline_offset;
  -- Once after each promotion, so that whoever adopts a copy of this knows how far it has come.
  if v_era > v_state.era then
    update state set era = v_era where era < v_era;
  end if;
  return v_era * 17592186044416 + nextval('token');
end
$$;

-- A token for whoever holds a session lock, greater than every one drawn before: the lock, held while it is drawn,
-- is what puts it in the order of the holders.
create or replace function fence_token() returns bigint
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_token bigint;
begin
  perform durable();
  -- A sequence writes its log once for many values, perhaps in a transaction that is not on disk yet, and a commit waits
  -- only for a transaction that has written something, be it no more than a word: then for everything before it.
  perform pg_logical_emit_message(true, 'fencepost', 'token');
  v_token := next_token();
  return v_token;
end
$$;

-- What the trigger of a fenced column calls when a write carries a smaller token than the row, or none.
create or replace function stale_write() returns trigger
language plpgsql volatile security definer
set search_path from current
as $$
begin
  raise exception 'stale fencing token for a row of table %.%', tg_table_schema, tg_table_name
    using errcode = 'FP001', column = tg_argv[0], schema = tg_table_schema, table = tg_table_name,
          detail = 'The row was written with a greater token.';
end
$$;

-- What a client asks on each connection before its first statement that needs the schema. adopted: the tokens go on in
-- this database system, and not in one that this schema was copied from.
create or replace function about(
  out version integer, out oldest_client integer, out token_cache bigint, out adopted boolean)
language sql stable security definer
set search_path from current
as $$
  select s.version, s.oldest_client, q.seqcache, s.system_identifier = c.system_identifier
  from state s, pg_catalog.pg_sequence q, pg_catalog.pg_control_system() c
  where q.seqrelid = 'token'::regclass
$$;

-- The number that stands for a key, the same that the TypeScript side computes. Each of namespace and parts is
-- written as '<length in bytes>:<text>', so that no two lists of parts give the same bytes; the number is the first
-- eight bytes of their SHA-256, signed. Bytes and lengths are those of UTF-8, whatever the database encoding is.
--
-- The body runs under the search_path of its caller: functions are named in full, and operators get exactly the types
-- that pg_catalog has them for, so that nothing of somebody else fits better. A loop in PL/pgSQL took 5.5 microseconds
-- a key where one aggregate in SQL took 15 (PostgreSQL 14 to 18); pinning the path would add 0.4 to 2.
create or replace function key_in(namespace text, variadic parts text[]) returns bigint
language plpgsql immutable parallel safe
as $$
declare
  encoded text := pg_catalog.length(pg_catalog.convert_to(namespace, 'UTF8'))::text || ':' || namespace;
  part text;
  bytes bytea;
begin
  if namespace is null then
    raise exception using errcode = '22023', message = 'namespace: expected a text, got null';
  end if;
  if pg_catalog.array_ndims(parts) is distinct from 1 then
    raise exception using errcode = '22023', message = 'key: expected a list of at least one part';
  end if;

  foreach part in array parts loop
    encoded := encoded || pg_catalog.length(pg_catalog.convert_to(part, 'UTF8'))::text || ':' || part;
  end loop;
  if encoded is null then
    raise exception using errcode = '22023',
      message = pg_catalog.format('key: expected a text as part %s, got null', pg_catalog.array_position(parts, null));
  end if;

  bytes := pg_catalog.convert_to(encoded, 'UTF8');
  if pg_catalog.length(bytes) > 8192 then
    raise exception using errcode = '22023',
      message = pg_catalog.format('key: expected at most 8192 bytes with its namespace and the lengths of its parts, got %s',
                                  pg_catalog.length(bytes));
  end if;
  return ('x' || pg_catalog.left(pg_catalog.encode(pg_catalog.sha256(bytes), 'hex'), 16))::bit(64)::bigint;
end
$$;

-- Bound to key_in when it is created, and inlined into the statement that calls it.
create or replace function key(variadic parts text[]) returns bigint
language sql immutable parallel safe
return key_in('', variadic parts);

-- A new living process. Its id is drawn here and never comes back, so a dead holder cannot be revived by a late call.
create or replace function holder_open(p_ttl interval, p_application text) returns uuid
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_id uuid := gen_random_uuid();
  v_now timestamptz := clock_timestamp();
begin
  perform durable();
  -- Holders that nobody's takeover has buried: a few at each opening keep the table small.
  delete from holder where id in (
    select id from holder where expires_at < v_now - interval '1 hour' limit 10 for update skip locked);
  delete from revocation r where not exists (select from holder h where h.id = r.holder_id);
  insert into holder (id, ttl, expires_at, beat_at, opened_at, application, timeline)
  values (v_id, p_ttl, v_now + p_ttl, v_now, v_now, p_application, timeline());
  return v_id;
end
$$;

-- Extends a holder that has not expired; not alive when it has: then it is dead for good. revoked: something of it was
-- revoked that it has not been told of. moved: it is from before the last failover, and has not been settled since.
create or replace function holder_beat(p_holder uuid, out alive boolean, out revoked boolean, out moved boolean)
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_holder holder;
  v_now timestamptz;
begin
  perform durable();
  select * into v_holder from holder where id = p_holder for no key update;
  v_now := clock_timestamp();  -- after the lock: the wait for it must not count as life
  alive := v_holder.expires_at is not null and v_holder.expires_at > v_now;
  if alive then
    update holder set expires_at = v_now + v_holder.ttl, beat_at = v_now where id = p_holder;
  end if;
  moved := alive and v_holder.timeline <> timeline();
  revoked := exists (select from revocation r where r.holder_id = p_holder);
end
$$;

-- What was revoked of a holder, each as tenant, name, slot and token: leases that were granted together have one token.
-- Those it has been told of are forgotten.
create or replace function holder_revoked(p_holder uuid, p_told jsonb) returns jsonb
language plpgsql volatile security definer
set search_path from current
as $$
begin
  delete from revocation r
  where r.holder_id = p_holder
    and jsonb_build_array(r.tenant, r.name, r.slot, r.token::text) in (select jsonb_array_elements(p_told));
  return (
    select coalesce(jsonb_agg(jsonb_build_array(r.tenant, r.name, r.slot, r.token::text)), '[]')
    from revocation r where r.holder_id = p_holder);
end
$$;

-- After a failover: its process has compared what it holds with what is here.
create or replace function holder_settle(p_holder uuid) returns void
language plpgsql volatile security definer
set search_path from current
as $$
begin
  perform durable();
  update holder set timeline = timeline() where id = p_holder;
end
$$;

-- After a connection was lost with acquires under way: waits for those that are about to commit (they hold KEY SHARE
-- on the holder) and makes all older ones fail, so that what the rows say then about a nonce is final.
create or replace function holder_fence(p_holder uuid) returns integer
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_holder holder;
begin
  perform durable();
  select * into v_holder from holder where id = p_holder for update;
  if v_holder.expires_at is null or v_holder.expires_at <= clock_timestamp() then
    raise exception 'holder % has expired', p_holder using errcode = 'FP002';
  end if;
  update holder set epoch = v_holder.epoch + 1 where id = p_holder;
  return v_holder.epoch + 1;
end
$$;

-- Ends a holder: whatever still names it is free.
create or replace function holder_close(p_holder uuid) returns void
language plpgsql volatile security definer
set search_path from current
as $$
begin
  perform durable();
  delete from holder where id = p_holder;
  delete from revocation where holder_id = p_holder;
end
$$;

-- The holder, if it lives and has this epoch. KEY SHARE keeps a takeover from burying it before the commit, and lets
-- its heartbeat pass.
create or replace function holder_check(p_holder uuid, p_epoch integer) returns holder
language plpgsql volatile
set search_path from current
as $$
declare
  v_holder holder;
begin
  select * into v_holder from holder where id = p_holder for key share;
  if v_holder.expires_at is null or v_holder.expires_at <= clock_timestamp() then
    raise exception 'holder % has expired', p_holder using errcode = 'FP002';
  elsif v_holder.epoch <> p_epoch then
    raise exception 'holder % has moved on to epoch %', p_holder, v_holder.epoch using errcode = 'FP003';
  end if;
  return v_holder;
end
$$;

-- Where this schema tells of leases. A channel has at most 63 bytes.
create or replace function channel() returns text
language sql stable
set search_path from current
as $$
  select 'fencepost_' || left(encode(sha256(convert_to(current_schema(), 'UTF8')), 'hex'), 16)
$$;

-- Tells whoever listens that leases have become free: of a resource as often as it is named, for one who waits at a
-- time. Other roles may listen too, so a lease is told by the number of its key, not by its name.
create or replace function wake(p_tenants text[], p_names text[]) returns void
language plpgsql volatile
set search_path from current
as $$
declare
  v_payload text;
begin
  if cardinality(p_names) = 1 then
    perform pg_notify(channel(), key_in('', p_tenants[1], p_names[1])::text);
    return;
  end if;
  for v_payload in
    select string_agg(key::text, ',') from (
      select key_in('', a.tenant, a.name) as key
      from unnest(p_tenants, p_names) a(tenant, name)) k
    group by width_bucket(key, -9223372036854775808, 9223372036854775807, 1 + cardinality(p_names) / 200)
  loop
    perform pg_notify(channel(), v_payload);
  end loop;
end
$$;

-- Whether the tenure of a row has ended: nobody has it, its term has run out, or its holder is gone. Whoever acts on it
-- asks again in a later statement, once the row is locked: a holder that was not there yet looks like one that is gone.
create or replace function lease_free(p_holder uuid, p_expires timestamptz) returns boolean
language sql volatile
set search_path from current
as $$
  select p_holder is null
    or case when p_expires is null then not exists (select from holder h where h.id = p_holder)
            else p_expires <= clock_timestamp() end
$$;

-- How many slots of a limit nobody has. It counts and locks nothing: for the order of a queue only.
create or replace function lease_room(p_tenant text, p_name text, p_limit integer) returns integer
language sql volatile
set search_path from current
as $$
  select p_limit - count(*)::integer from lease l
  where l.tenant = p_tenant and l.name = p_name and l.holder_id is not null and not lease_free(l.holder_id, l.expires_at)
$$;

-- Locks those of these rows that are free and that no guard is open on, marks them as clean, and counts them.
create or replace function lease_clean(p_tenant text, p_name text, p_slots integer[]) returns integer
language plpgsql volatile
set search_path from current
as $$
declare
  v_locked integer[];
  v_clean integer;
begin
  v_locked := array(
    select l.slot from lease l
    where l.tenant = p_tenant and l.name = p_name and l.slot = any (p_slots) and lease_free(l.holder_id, l.expires_at)
    for update skip locked);
  select count(*) into v_clean from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot = any (v_locked) and lease_free(l.holder_id, l.expires_at);
  update lease l set nonce = null, holder_id = null, expires_at = null
  where l.tenant = p_tenant and l.name = p_name and l.slot = any (v_locked) and l.nonce is not null
    and lease_free(l.holder_id, l.expires_at);
  return v_clean;
end
$$;

-- From now on who asks for this resource alone has to look at its other rows as well.
create or replace function lease_crowd(p_tenant text, p_name text) returns void
language plpgsql volatile
set search_path from current
as $$
begin
  if exists (select from lease l where l.tenant = p_tenant and l.name = p_name and l.slot = 0 and l.crowded) then
    return;
  end if;
  insert into lease (tenant, name, crowded) values (p_tenant, p_name, true)
  on conflict (tenant, name, slot) do update set crowded = true;
end
$$;

-- Whether whoever gets a slot next is taken to be waited for, because the last one was. Who waits and finds it so has
-- nothing to write. One grant in seven forgets it, in case nobody waits any more.
create or replace function lease_stays_wanted(wanted boolean, token bigint) returns boolean
language sql immutable parallel safe
return wanted and token % 7 <> 0;

-- Locks rows of the resource that can be granted now, p_count of them or fewer, and answers their slots in order. There
-- are fewer when the rest is held, or is being changed right now.
--
-- At most p_limit are held at any time, whatever the limits were with which others asked; a shared one goes along with
-- any number of shared ones. A row whose nonce is null is clean: nobody has had it since it was last found free under
-- FOR UPDATE, so no guard can be open on it. Released and abandoned rows are not clean, and count as held until they
-- could be locked.
--
-- What was found in the way, before anything was locked: unmarked are the held ones whose release would wake nobody,
-- held_until is when the first expires, changing says that others are at work on free ones, and told whether the
-- release of what they take will wake somebody all the same.
create or replace function lease_pick(
  p_tenant text, p_name text, p_limit integer, p_shared boolean, p_count integer,
  out slots integer[], out unmarked integer[], out held_until timestamptz, out changing boolean, out told boolean,
  out readers boolean)
language plpgsql volatile
set search_path from current
as $$
declare
  v_now timestamptz;
  v_first integer := case when p_shared then 1 else 0 end;
  -- Readers have no limit.
  v_limit integer := case when p_shared then 2147483647 else p_limit end;
  v_slots integer[];
  v_rows integer;
  v_free integer;
  v_over integer;
  v_live uuid[];
  v_dead uuid[];
  v_blockers uuid[];
  v_more integer;
begin
  for v_round in 1..4 loop
    v_now := clock_timestamp();
    select count(*) filter (where s.usable), count(*) filter (where s.usable and s.free),
           coalesce(bool_and(s.stays) filter (where s.usable and s.free), true),
           coalesce(array_agg(s.id) filter (where s.expires_at > v_now), '{}'),
           array_agg(s.id) filter (where s.expires_at <= v_now),
           array_agg(s.slot) filter (where s.held and not s.wanted), min(s.expires_at) filter (where s.held),
           coalesce(bool_or(s.shared and s.held and s.slot > 0), false)
    into v_rows, v_free, told, v_live, v_dead, unmarked, held_until, readers
    from (
      select l.slot, l.slot >= v_first and l.slot < v_limit as usable, l.holder_id is not null as held, l.wanted,
             l.shared, h.id, coalesce(l.expires_at, h.expires_at) as expires_at,
             l.holder_id is null or coalesce(l.expires_at, h.expires_at, '-infinity') <= v_now as free,
             lease_stays_wanted(l.wanted, l.token) as stays
      from lease l left join holder h on h.id = l.holder_id and l.expires_at is null
      where l.tenant = p_tenant and l.name = p_name) s;
    changing := v_free > 0;
    exit when p_count = 0;

    -- The dead are buried under their own lock: from then on whoever is not there is dead for good.
    if v_dead is not null then
      delete from holder where id in (
        select id from holder where id = any (v_dead) and expires_at <= v_now order by id for update skip locked);
    end if;

    if p_shared and v_round = 1 then
      -- The row of slot 0 is a writer's. KEY SHARE on it keeps writers out until the commit, and other readers in.
      perform lease_crowd(p_tenant, p_name);
      select (l.nonce is not null)::integer into v_over from lease l
      where l.tenant = p_tenant and l.name = p_name and l.slot = 0 for key share skip locked;
      if v_over is null or (v_over = 1 and lease_clean(p_tenant, p_name, array[0]) = 0) then
        return;
      end if;
      if exists (
        select from lease l
        where l.tenant = p_tenant and l.name = p_name and l.slot > 0 and l.nonce is not null and not l.shared
          and not lease_free(l.holder_id, l.expires_at))
      then
        return;
      end if;
    end if;

    if v_free > 0 then
      select array_agg(f.slot), array_agg(f.holder_id) filter (where f.holder_id is not null and f.expires_at is null)
      into slots, v_blockers
      from (
        select l.slot, l.holder_id, l.expires_at from lease l
        where l.tenant = p_tenant and l.name = p_name and l.slot >= v_first and l.slot < v_limit
          and (l.holder_id is null
               or case when l.expires_at is null then l.holder_id <> all (v_live) else l.expires_at <= v_now end)
        order by l.slot limit p_count for update skip locked) f;
      -- What was seen of their holders is older than the locks.
      if v_blockers is not null then
        slots := array(
          select l.slot from lease l
          where l.tenant = p_tenant and l.name = p_name and l.slot = any (slots)
            and (l.holder_id is null or l.expires_at is not null
                 or not exists (select from holder h where h.id = l.holder_id))
          order by l.slot);
      end if;
      changing := v_free > coalesce(cardinality(slots), 0);
    end if;
    v_more := p_count - coalesce(cardinality(slots), 0);
    exit when v_more = 0 or v_first + v_rows >= v_limit;

    if v_first + v_rows = 0 then
      v_more := 1;
    else
      -- Before there is another row, and locked until then: a sweep removes a crowded row that has no others.
      perform lease_crowd(p_tenant, p_name);
      perform from lease l where l.tenant = p_tenant and l.name = p_name and l.slot = 0 for key share skip locked;
      if not found then
        changing := true;
        told := false;
        exit;
      end if;
    end if;
    insert into lease (tenant, name, slot)
    select p_tenant, p_name, s.slot from generate_series(v_first, least(v_first + v_rows + v_more, v_limit) - 1) s(slot)
    where not exists (
      select from lease l where l.tenant = p_tenant and l.name = p_name and l.slot = s.slot)
    order by s.slot limit v_more
    on conflict do nothing;
  end loop;
  if p_shared or coalesce(cardinality(slots), 0) = 0 then
    return;
  end if;

  -- Slots beyond the limit: of a greater one that others asked with, or of readers.
  select array_agg(l.slot) into v_slots from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot >= p_limit and l.nonce is not null;
  if v_slots is null then
    return;
  end if;
  perform lease_clean(p_tenant, p_name, v_slots);
  select count(*) into v_over from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot >= p_limit and l.nonce is not null;
  if v_over = 0 then
    return;
  end if;
  select array_agg(l.slot), count(*) into v_slots, v_rows from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot < p_limit;
  v_free := lease_clean(p_tenant, p_name, v_slots);
  slots := slots[1:p_limit - (v_over + v_rows - v_free)];
end
$$;

-- Gives rows that the caller has found free and locked to a holder, each with a nonce; answers their tokens, all
-- different. p_token was drawn after the locks, for the first of them. p_keep: a row that was wanted may stay so.
create or replace function lease_grant(
  p_token bigint, p_holder uuid, p_term interval, p_tenant text, p_name text, p_slots integer[], p_nonces uuid[], p_metadata text[],
  p_shared boolean, p_wanted boolean, p_keep boolean default false)
returns bigint[]
language plpgsql volatile
set search_path from current
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_drawn bigint[] := array[p_token];
  v_floor bigint := (select token_floor + 1 from state);
  v_tokens bigint[];
begin
  for v_further in 2..cardinality(p_slots) loop
    -- In the era of the first one.
    v_drawn := v_drawn || ((p_token >> 44 << 44) + nextval('token'));
  end loop;
  with given as (
    update lease l
    set token = greatest(g.token, v_floor, l.token + 1),
        holder_id = p_holder, nonce = g.nonce, acquired_at = v_now, expires_at = v_now + p_term,
        wanted = p_wanted or p_keep and lease_stays_wanted(l.wanted, l.token), shared = p_shared, revoked = false,
        metadata = g.metadata::jsonb
    from unnest(p_slots, p_nonces, p_metadata, v_drawn) with ordinality g(slot, nonce, metadata, token, ord)
    where l.tenant = p_tenant and l.name = p_name and l.slot = g.slot
    returning g.ord, l.token
  )
  select array_agg(token order by ord) into v_tokens from given;
  return v_tokens;
end
$$;

-- Asks of lease_acquire for one resource, alike but for their nonces, that take more than a look at one row: slots,
-- readers and writers, places in a queue. The first of them come first.
--
-- p_asks are their places in lease_acquire, by which granted, held and queued name them as those do there. What stands
-- in neither granted nor held is being changed right now: whoever waits for it could not be noted down on all that is in
-- the way. held_for: how soon it is worth to look again, if nobody tells.
create or replace function lease_take(
  p_holder uuid, p_epoch integer, p_term interval, p_tenant text, p_name text, p_asks integer[], p_nonces uuid[],
  p_wants boolean[], p_metadata text[], p_limit integer, p_total integer, p_shared boolean, p_fair boolean,
  out granted integer[], out tokens bigint[], out slots integer[], out total_slots integer[],
  out total_tokens bigint[], out held integer[], out held_for integer, out queued integer[])
language plpgsql volatile
set search_path from current
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_queue boolean;
  v_again boolean;
  v_ticket bigint;
  v_ahead bigint := 0;
  v_got integer;
  v_waits boolean;
  v_more boolean := false;
  v_full_tenant text := p_tenant;
  v_own record;
  v_all record;
  v_way record;
  v_token bigint;
  v_seen bigint;
  v_told boolean := true;
  v_until timestamptz;
begin
  select exists (select from ticket t where t.tenant = p_tenant and t.name = p_name),
         exists (
           select from lease l
           where l.tenant = p_tenant and l.name = p_name and l.holder_id = p_holder and l.nonce = any (p_nonces))
  into v_queue, v_again;

  -- Asked before: the answer was lost on its way.
  if v_again then
    select array_agg(a.ask), array_agg(l.token), array_agg(l.slot), array_agg(o.slot), array_agg(o.token)
    into granted, tokens, slots, total_slots, total_tokens
    from unnest(p_asks, p_nonces) a(ask, nonce)
    join lease l on l.tenant = p_tenant and l.name = p_name and l.holder_id = p_holder and l.nonce = a.nonce
    left join lease o
      on p_total is not null and o.tenant = '' and o.name = p_name and o.holder_id = p_holder and o.nonce = a.nonce;
    select array_agg(a.ask order by a.ord), array_agg(a.nonce order by a.ord), array_agg(a.wants order by a.ord),
           array_agg(a.metadata order by a.ord)
    into p_asks, p_nonces, p_wants, p_metadata
    from unnest(p_asks, p_nonces, p_wants, p_metadata) with ordinality a(ask, nonce, wants, metadata, ord)
    where a.ask <> all (granted);
    if p_asks is null then
      return;
    end if;
  end if;

  -- Whoever stands before this one in the queue and lives. Readers do not stand in each other's way.
  v_got := cardinality(p_asks);
  if v_queue then
    delete from holder where id in (
      select h.id from holder h
      where h.expires_at <= v_now
        and h.id in (select t.holder_id from ticket t where t.tenant = p_tenant and t.name = p_name)
      order by h.id for update skip locked);
    delete from ticket t
    where t.tenant = p_tenant and t.name = p_name and not exists (select from holder h where h.id = t.holder_id);
    select min(t.id) into v_ticket from ticket t where t.nonce = any (p_nonces);
    select count(*), min(h.expires_at) into v_ahead, v_until
    from ticket t join holder h on h.id = t.holder_id
    where t.tenant = p_tenant and t.name = p_name and (v_ticket is null or t.id < v_ticket)
      and h.expires_at > v_now and not (p_shared and t.shared);
    if v_ahead > 0 then
      v_got := case when p_limit = 1 then 0
                    else greatest(least(v_got, lease_room(p_tenant, p_name, p_limit) - v_ahead), 0) end;
    end if;
  end if;

  v_own := lease_pick(p_tenant, p_name, p_limit, p_shared, v_got);
  v_way := v_own;
  v_got := coalesce(cardinality(v_own.slots), 0);
  if v_got > 0 and p_total is not null then
    v_all := lease_pick('', p_name, p_total, false, v_got);
    if coalesce(cardinality(v_all.slots), 0) < v_got then
      v_got := coalesce(cardinality(v_all.slots), 0);
      v_full_tenant := '';
      v_way := v_all;
    end if;
  end if;
  v_waits := true = any (p_wants[v_got + 1:]);

  if v_got > 0 then
    perform holder_check(p_holder, p_epoch);
    if v_queue then
      delete from ticket t where t.nonce = any (p_nonces[1:v_got]);
      v_more := exists (
        select from ticket t join holder h on h.id = t.holder_id
        where t.tenant = p_tenant and t.name = p_name and h.expires_at > v_now);
    end if;
    v_token := next_token();
    tokens := tokens || lease_grant(
      v_token, p_holder, p_term, p_tenant, p_name, v_own.slots[1:v_got], p_nonces[1:v_got], p_metadata[1:v_got], p_shared,
      p_wanted => v_more or v_waits, p_keep => p_limit > 1 and not p_shared);
    granted := granted || p_asks[1:v_got];
    slots := slots || v_own.slots[1:v_got];
    if p_total is not null then
      total_tokens := total_tokens || lease_grant(
        (v_token >> 44 << 44) + nextval('token'), p_holder, p_term, '', p_name, v_all.slots[1:v_got],
        p_nonces[1:v_got], p_metadata[1:v_got], p_shared => false, p_wanted => v_waits, p_keep => true);
      total_slots := total_slots || v_all.slots[1:v_got];
    else
      total_slots := total_slots || array_fill(null::integer, array[v_got]);
      total_tokens := total_tokens || array_fill(null::bigint, array[v_got]);
    end if;
    -- There may be room for the next in the queue as well.
    if v_more and (p_shared or p_limit > 1) then
      perform wake(array[p_tenant], array[p_name]);
    end if;
    p_asks := p_asks[v_got + 1:];
    if p_asks = '{}' then
      return;
    end if;
    p_nonces := p_nonces[v_got + 1:];
    p_wants := p_wants[v_got + 1:];
  end if;

  if v_waits then
    if p_fair or p_shared or v_own.readers then
      perform holder_check(p_holder, p_epoch);
      insert into ticket (tenant, name, holder_id, nonce, shared, since)
      select p_tenant, p_name, p_holder, a.nonce, p_shared, v_now
      from unnest(p_nonces, p_wants) with ordinality a(nonce, wants, ord)
      where a.wants and not exists (select from ticket t where t.nonce = a.nonce)
      order by a.ord;
    end if;
    -- Marked under the lock of a lease that is still held: its release comes later, and sees the mark.
    if v_way.unmarked is not null then
      with waiting as (
        select l.slot from lease l
        where l.tenant = v_full_tenant and l.name = p_name and l.slot = any (v_way.unmarked) and l.holder_id is not null
        for no key update skip locked
      ), noted as (
        update lease l set wanted = true from waiting w
        where l.tenant = v_full_tenant and l.name = p_name and l.slot = w.slot and not l.wanted
      )
      select count(*) into v_seen from waiting;
      v_told := v_seen >= cardinality(v_way.unmarked);
    end if;
    v_told := v_told and (v_way.told or not v_way.changing);
    if v_queue or p_fair or p_shared or v_own.readers then
      queued := array(
        select a.ask from unnest(p_asks, p_nonces) a(ask, nonce) join ticket t on t.nonce = a.nonce);
    end if;
  end if;
  if v_told then
    held := p_asks;
  else
    held := array(select a.ask from unnest(p_asks, p_wants) a(ask, wants) where not a.wants);
  end if;
  -- Those at work may give up.
  v_until := least(v_until, v_way.held_until, case when v_way.changing then v_now + interval '100 ms' end);
  held_for := least(ceil(extract(epoch from v_until - v_now) * 1000), 2147483647)::integer;
end
$$;

-- Takes each asked lease that is free, for one holder, in one transaction; what is held is left alone.
--
-- p_term null: the leases live as long as the holder. Otherwise each gets a fixed expiry of its own, and the holder
-- only has to live now. Asked again with the same nonce, a lease that was granted is answered with the same token.
-- p_wants: whether the caller will wait, so that whoever releases the lease wakes it up. p_limits, p_totals, p_shared
-- and p_fair are for what lease_take decides, one resource at a time; all else is decided for all leases at once.
--
-- granted, tokens and slots go together, and so do total_slots and total_tokens where a total was asked for; so do held
-- and held_for (milliseconds until the present holder expires unless it is renewed; 0 or less, or null: it has expired,
-- and something else keeps the lease). All count from 1 in the order of the arguments. What stands in neither is being
-- changed right now. queued: those that have a place in a queue, which they are to give up when they wait no more.
create or replace function lease_acquire(
  p_holder uuid, p_epoch integer, p_term interval, p_tenants text[], p_names text[], p_nonces uuid[],
  p_wants boolean[] default null, p_metadata text[] default null, p_limits integer[] default null,
  p_totals integer[] default null, p_shared boolean[] default null, p_fair boolean[] default null,
  out granted integer[], out tokens bigint[], out slots integer[], out total_slots integer[],
  out total_tokens bigint[], out held integer[], out held_for integer[], out queued integer[])
language plpgsql volatile security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
set enable_memoize = off
set jit = off
as $$
declare
  v_asked integer := cardinality(p_names);
  -- An array like the others, not a constant: a constant alone would let the planner scan the index for it.
  v_slots integer[] := array_fill(0, array[cardinality(p_names)]);
  -- Of the asks, those that lease_take decides.
  v_special boolean[];
  v_holder holder;
  v_now timestamptz;
  v_free integer[];
  v_places tid[];
  v_blockers uuid[];
  v_live uuid[];
  v_token bigint;
  v_floor bigint;
  v_missing integer[];
  v_crowded integer[];
  v_marked integer[];
  v_alike record;
  v_taken record;
begin
  perform durable();
  if p_limits is not null then
    v_special := array(
      select coalesce(l <> 1 or t is not null or s or f, false)
      from unnest(p_limits, p_totals, p_shared, p_fair) with ordinality a(l, t, s, f, ord) order by ord);
  end if;

  for v_round in 1..2 loop
    exit when true = all (v_special);
    -- A lease that is plainly held is not locked: a failed try writes nothing. One that a guard holds KEY SHARE on
    -- is skipped, whatever became of its holder.
    v_now := clock_timestamp();
    select array_agg(f.ord), array_agg(f.ctid),
           array_agg(f.holder_id) filter (where f.holder_id is not null and f.expires_at is null)
    into v_free, v_places, v_blockers
    from (
      select a.ord, l.ctid, l.holder_id, l.expires_at
      from generate_series(1, v_asked) a(ord)
      -- Looked up one by one, however small the table was when this was planned: a join may scan it for all of them.
      cross join lateral (
        select l.ctid, l.holder_id, l.expires_at
        from lease l
        where l.tenant = p_tenants[a.ord] and l.name = p_names[a.ord] and l.slot = v_slots[a.ord]
          and (l.holder_id is null
           or coalesce(l.expires_at, (select h.expires_at from holder h where h.id = l.holder_id), '-infinity') <= v_now)
          and not l.crowded
        for update of l skip locked
      ) l
      where v_special[a.ord] is not true
    ) f;

    if v_free is not null then
      if v_holder.id is null then
        v_holder := holder_check(p_holder, p_epoch);
      end if;

      -- The rows cannot change any more, but what the search above saw of their holders is older than the locks.
      -- So each holder is looked at again, buried under its own lock if it has expired, and blocks if it is there.
      v_live := '{}';
      v_now := clock_timestamp();
      if v_blockers is not null then
        delete from holder where id in (
          select id from holder where id = any (v_blockers) and expires_at <= v_now order by id
          for update skip locked);
        v_live := array(select id from holder where id = any (v_blockers));
      end if;

      v_token := next_token();
      select token_floor + 1 into v_floor from state;
      with taken as (
        update lease l
        set token = greatest(v_token, v_floor, l.token + 1),
            holder_id = p_holder, nonce = p_nonces[v_free[f.n]], acquired_at = v_now, expires_at = v_now + p_term,
            wanted = false, shared = false, revoked = false, metadata = p_metadata[v_free[f.n]]::jsonb
        from generate_series(1, cardinality(v_free)) f(n)
        where l.ctid = v_places[f.n]  -- locked, so it stays there
          and (l.expires_at is not null or l.holder_id is null or l.holder_id <> all (v_live))
        returning v_free[f.n] as ord, l.token
      )
      select coalesce(granted, '{}') || array_agg(ord), coalesce(tokens, '{}') || array_agg(token)
      into granted, tokens from taken;
      exit when cardinality(granted) = v_asked;
    end if;

    select array_agg(s.ord) filter (where s.missing), array_agg(s.ord) filter (where s.crowded),
           array_agg(s.ord) filter (where s.mine), array_agg(s.token) filter (where s.mine),
           array_agg(s.ord) filter (where s.theirs), array_agg(s.left_ms) filter (where s.theirs)
    into v_missing, v_crowded, granted, tokens, held, held_for
    from (
      select a.ord::integer, l.token, l.tenant is null as missing,
             coalesce(l.crowded and (l.holder_id is distinct from p_holder or l.nonce <> a.nonce), false) as crowded,
             coalesce(l.holder_id = p_holder and l.nonce = a.nonce, false) as mine,
             l.holder_id is not null and (l.holder_id <> p_holder or l.nonce <> a.nonce) and not l.crowded as theirs,
             least(ceil(extract(epoch from coalesce(l.expires_at, h.expires_at) - v_now) * 1000), 2147483647)::integer
               as left_ms
      from unnest(p_nonces) with ordinality a(nonce, ord)
      left join lease l on l.tenant = p_tenants[a.ord] and l.name = p_names[a.ord] and l.slot = v_slots[a.ord]
      left join holder h on h.id = l.holder_id and l.expires_at is null
      where v_special[a.ord] is not true
    ) s;
    exit when v_missing is null or v_round = 2;

    -- Free rows with no token of their own: it is drawn in the second round, once they are there and locked.
    -- Sorted, so that two processes that create the same rows do not wait for each other in a circle.
    insert into lease (tenant, name)
    select a.tenant, a.name
    from unnest(p_tenants, p_names) with ordinality a(tenant, name, ord)
    where a.ord = any (v_missing)
    order by a.tenant, a.name
    on conflict do nothing;
  end loop;

  -- `between` is always true: the planner expects one row and looks it up, instead of a small table scanned for all.
  -- Whoever will wait is woken by the release only if the lease says so, and it can say so only as long as it is held:
  -- one that is released meanwhile is in neither list, and asked for again at once.
  if held is not null and true = any (p_wants) then
    with waiting as (
      select a.ord, l.tenant, l.name, l.slot, l.wanted
      from unnest(held) a(ord)
      join lease l on l.tenant = p_tenants[a.ord] and l.name = p_names[a.ord] and l.slot = v_slots[a.ord]
      where p_wants[a.ord] and a.ord between 1 and v_asked and l.holder_id is not null
      for no key update of l skip locked
    ), marked as (
      update lease l set wanted = true
      from waiting w
      where l.tenant = w.tenant and l.name = w.name and l.slot = w.slot and not w.wanted
    )
    select array_agg(ord) into v_marked from waiting;
    select array_agg(h.ord), array_agg(h.left_ms) into held, held_for
    from unnest(held, held_for) h(ord, left_ms)
    where p_wants[h.ord] is not true or h.ord = any (v_marked);
  end if;

  slots := array_fill(0, array[coalesce(cardinality(granted), 0)]);
  total_slots := array_fill(null::integer, array[cardinality(slots)]);
  total_tokens := array_fill(null::bigint, array[cardinality(slots)]);
  if v_special is null and v_crowded is null then
    return;
  end if;
  for v_alike in
    select a.tenant, a.name, coalesce(a.most, 1) as most, a.total, coalesce(a.shared, false) as shared,
           coalesce(a.fair, false) as fair, array_agg(a.ord::integer order by a.ord) as asks,
           array_agg(a.nonce order by a.ord) as nonces, array_agg(coalesce(a.wants, false) order by a.ord) as wants,
           array_agg(a.metadata order by a.ord) as metadata
    from unnest(p_tenants, p_names, p_nonces, p_wants, p_metadata, p_limits, p_totals, p_shared, p_fair)
      with ordinality a(tenant, name, nonce, wants, metadata, most, total, shared, fair, ord)
    where v_special[a.ord] or a.ord = any (v_crowded)
    -- Readers, and those with a place in a queue, each for themselves.
    group by 1, 2, 3, 4, 5, 6, case
      when a.shared or a.fair or exists (select from ticket t where t.tenant = a.tenant and t.name = a.name) then a.ord end
    order by 1, 2, min(a.ord)
  loop
    v_taken := lease_take(
      p_holder, p_epoch, p_term, v_alike.tenant, v_alike.name, v_alike.asks, v_alike.nonces, v_alike.wants,
      v_alike.metadata, v_alike.most, v_alike.total, v_alike.shared, v_alike.fair);
    granted := granted || v_taken.granted;
    tokens := tokens || v_taken.tokens;
    slots := slots || v_taken.slots;
    total_slots := total_slots || v_taken.total_slots;
    total_tokens := total_tokens || v_taken.total_tokens;
    held := held || v_taken.held;
    held_for := held_for || array_fill(v_taken.held_for, array[coalesce(cardinality(v_taken.held), 0)]);
    queued := queued || v_taken.queued;
  end loop;
end
$$;

-- Frees leases that this holder has with exactly these tokens, and wakes who waits for them; answers which (counted
-- from 1) it found so. The nonce stays: a guard may still be open.
--
-- p_early: who waits is woken before the release is on the disk; p_awaited: so is who waits for the answer. They lose
-- nothing by it: the log is written in order, so no grant to them is there without the release. But it counts only after
-- flush(), where unflushed says so.
create or replace function lease_release(
  p_holder uuid, p_tenants text[], p_names text[], p_slots integer[], p_tokens bigint[], p_early boolean default false,
  p_awaited boolean default false, out released integer[], out unflushed boolean)
language plpgsql volatile security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
set enable_memoize = off
set jit = off
as $$
declare
  v_tenants text[];
  v_names text[];
  v_now timestamptz := clock_timestamp();
begin
  perform durable();
  with freed as (
    update lease l set holder_id = null, expires_at = null, released_at = v_now
    from unnest(p_tokens) with ordinality a(token, ord)
    where l.tenant = p_tenants[a.ord] and l.name = p_names[a.ord] and l.slot = p_slots[a.ord]
      and l.token = a.token and l.holder_id = p_holder
      -- Always true: the planner expects one row and looks it up, instead of a small table scanned for all.
      and a.ord between 1 and cardinality(p_tokens)
    returning a.ord::integer, l.wanted
  )
  select array_agg(f.ord), array_agg(p_tenants[f.ord]) filter (where f.wanted),
         array_agg(p_names[f.ord]) filter (where f.wanted)
  into released, v_tenants, v_names from freed f;
  if p_early and (v_tenants is not null or p_awaited) then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  if v_tenants is not null then
    perform wake(v_tenants, v_names);
  end if;
  -- What is not found may have been released by the same call, whose answer was lost.
  released := coalesce(released, '{}');
  unflushed := p_early and (v_tenants is not null or p_awaited or cardinality(released) < cardinality(p_names));
end
$$;

-- Gives leases with a fixed expiry another term, counted from now; answers which (counted from 1) it found unexpired
-- and still this holder's, with exactly these tokens.
create or replace function lease_renew(
  p_holder uuid, p_term interval, p_tenants text[], p_names text[], p_slots integer[], p_tokens bigint[])
returns integer[]
language plpgsql volatile security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
set enable_memoize = off
set jit = off
as $$
declare
  v_locked integer[];
  v_now timestamptz;
  v_renewed integer[];
begin
  perform durable();
  select array_agg(f.ord::integer) into v_locked
  from (
    select a.ord
    from unnest(p_tokens) with ordinality a(token, ord)
    join lease l on l.tenant = p_tenants[a.ord] and l.name = p_names[a.ord] and l.slot = p_slots[a.ord]
    where l.token = a.token and l.holder_id = p_holder
      -- Always true, here and below: the planner expects one row and looks it up, instead of a small table scanned for all.
      and a.ord between 1 and cardinality(p_tokens)
    for no key update of l
  ) f;
  v_now := clock_timestamp();  -- after the locks: the wait for them must not count as life
  with renewed as (
    update lease l set expires_at = v_now + p_term
    from unnest(v_locked) f(ord)
    where l.tenant = p_tenants[f.ord] and l.name = p_names[f.ord] and l.slot = p_slots[f.ord]
      and f.ord between 1 and cardinality(p_tokens) and l.expires_at > v_now and not l.revoked
    returning f.ord
  )
  select array_agg(ord) into v_renewed from renewed;
  return coalesce(v_renewed, '{}');
end
$$;

-- Which of these (counted from 1) the holder has, with exactly these tokens.
create or replace function lease_known(
  p_holder uuid, p_tenants text[], p_names text[], p_slots integer[], p_tokens bigint[])
returns integer[]
language plpgsql stable security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
  return array(
    select a.ord
    from unnest(p_tokens) with ordinality a(token, ord)
    where p_holder = (
      select l.holder_id from lease l
      where l.tenant = p_tenants[a.ord] and l.name = p_names[a.ord] and l.slot = p_slots[a.ord] and l.token = a.token));
end
$$;

-- What a holder has that lives on its heartbeat, in the order of tenant, name and slot: so many after the place given,
-- as a list of [tenant, name, slot, token]. Reads the whole table.
create or replace function lease_of(
  p_holder uuid, p_tenant text default '', p_name text default '', p_slot integer default -1,
  p_limit integer default 1000)
returns jsonb
language sql stable security definer
set search_path from current
as $$
  select coalesce(jsonb_agg(jsonb_build_array(tenant, name, slot, token::text) order by tenant, name, slot), '[]')
  from (
    select tenant, name, slot, token from lease
    where holder_id = p_holder and expires_at is null and (tenant, name, slot) > (p_tenant, p_name, p_slot)
    order by tenant, name, slot limit p_limit) l
$$;

-- Gives up places in queues; who stands behind them is told.
create or replace function lease_withdraw(p_nonces uuid[]) returns void
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_tenants text[];
  v_names text[];
begin
  with gone as (delete from ticket where nonce = any (p_nonces) returning tenant, name)
  select array_agg(tenant), array_agg(name) into v_tenants, v_names from gone;
  if v_tenants is not null then
    perform wake(v_tenants, v_names);
  end if;
end
$$;

-- Takes leases of a resource away from whoever holds them: free after the grace, and their holders are told. p_token:
-- only the one with this token, so that a successor is never hit. Answers the tokens.
create or replace function lease_revoke(p_tenant text, p_name text, p_grace interval, p_token bigint default null)
returns bigint[]
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_slots integer[];
  v_now timestamptz;
  v_tokens bigint[];
begin
  perform durable();
  v_slots := array(
    select l.slot from lease l
    where l.tenant = p_tenant and l.name = p_name and l.holder_id is not null and (p_token is null or l.token = p_token)
    order by l.slot for no key update);
  v_now := clock_timestamp();
  insert into revocation (holder_id, tenant, name, slot, token)
  select l.holder_id, l.tenant, l.name, l.slot, l.token
  from lease l join holder h on h.id = l.holder_id
  where l.tenant = p_tenant and l.name = p_name and l.slot = any (v_slots)
  order by l.holder_id
  on conflict do nothing;
  -- With a grace it becomes a lease with a fixed term, which nothing prolongs.
  with taken as (
    update lease l
    set revoked = true,
        holder_id = case when p_grace > interval '0' then l.holder_id end,
        expires_at = case when p_grace > interval '0' then least(l.expires_at, v_now + p_grace) end
    where l.tenant = p_tenant and l.name = p_name and l.slot = any (v_slots)
    returning l.token
  )
  select coalesce(array_agg(t.token), '{}') into v_tokens from taken t;
  if v_tokens <> '{}' then
    perform wake(array[p_tenant], array[p_name]);
    perform pg_notify(channel(), 'revoked');
  end if;
  return v_tokens;
end
$$;

-- Who has a lease between two processes: nobody can tell the secret from what stands in the row.
create or replace function lease_keeper(p_secret uuid) returns uuid
language sql immutable
set search_path from current
as $$ select left(encode(sha256(convert_to(p_secret::text, 'UTF8')), 'hex'), 32)::uuid $$;

-- Puts a lease, with all its rows or none, where whoever knows the secret can take it up within the term. False when
-- it is not this holder's any more. Asked again with the same secret it answers the same.
create or replace function lease_hand_over(
  p_holder uuid, p_term interval, p_tenants text[], p_names text[], p_slots integer[], p_tokens bigint[],
  p_secret uuid)
returns boolean
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_keeper uuid := lease_keeper(p_secret);
  v_now timestamptz;
  v_alive boolean;
  v_mine integer;
begin
  perform durable();
  perform from unnest(p_tenants, p_names, p_slots) a(tenant, name, slot)
  join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot
  order by l.tenant, l.name, l.slot for no key update of l;
  v_now := clock_timestamp();  -- after the locks: what has expired meanwhile is lost
  v_alive := exists (select from holder h where h.id = p_holder and h.expires_at > v_now);
  select count(*) into v_mine
  from unnest(p_tenants, p_names, p_slots, p_tokens) a(tenant, name, slot, token)
  join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot and l.token = a.token
  where l.holder_id = v_keeper
     or l.holder_id = p_holder and not l.revoked and coalesce(l.expires_at > v_now, v_alive);
  if v_mine <> cardinality(p_tokens) then
    return false;
  end if;
  -- Nobody's heartbeat keeps it from now on: it has a term of its own.
  update lease l set holder_id = v_keeper, expires_at = v_now + p_term
  from unnest(p_tenants, p_names, p_slots) a(tenant, name, slot)
  where l.tenant = a.tenant and l.name = a.name and l.slot = a.slot and l.holder_id = p_holder;
  return true;
end
$$;

-- Gives a lease that was handed over to the holder who knows the secret, once: all its rows, each with a new and greater
-- token. Null while a guard of the one before is open. Asked again with the same nonce it answers the same.
create or replace function lease_resume(
  p_holder uuid, p_epoch integer, p_term interval, p_tenants text[], p_names text[], p_slots integer[],
  p_tokens bigint[], p_secret uuid, p_nonce uuid)
returns bigint[]
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_keeper uuid := lease_keeper(p_secret);
  v_given bigint[];
  v_locked integer;
  v_row record;
begin
  perform durable();
  perform holder_check(p_holder, p_epoch);
  -- Asked before: the answer was lost on its way.
  select array_agg(l.token order by a.ord) into v_given
  from unnest(p_tenants, p_names, p_slots) with ordinality a(tenant, name, slot, ord)
  join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot
  where l.holder_id = p_holder and l.nonce = p_nonce;
  if v_given is not null then
    return v_given;
  end if;

  select count(*) into v_locked
  from (
    select from unnest(p_tenants, p_names, p_slots, p_tokens) a(tenant, name, slot, token)
    join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot and l.token = a.token
    where l.holder_id = v_keeper
    order by l.tenant, l.name, l.slot for update of l skip locked
  ) l;
  -- Only now: it can have run out while others had the rows.
  if cardinality(p_tokens) <> (
    select count(*)
    from unnest(p_tenants, p_names, p_slots, p_tokens) a(tenant, name, slot, token)
    join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot and l.token = a.token
    where l.holder_id = v_keeper and not l.revoked and l.expires_at > clock_timestamp())
  then
    raise exception 'the lease % is not there any more to be taken up', p_names[1]
      using errcode = 'FP001', detail = 'It was taken up before, revoked, or its time had run out.';
  elsif v_locked < cardinality(p_tokens) then
    return null;
  end if;
  for v_row in
    select a.ord, l.tenant, l.name, l.slot, l.metadata, l.shared, l.wanted
    from unnest(p_tenants, p_names, p_slots) with ordinality a(tenant, name, slot, ord)
    join lease l on l.tenant = a.tenant and l.name = a.name and l.slot = a.slot
    order by a.ord
  loop
    v_given := v_given || lease_grant(
      next_token(), p_holder, p_term, v_row.tenant, v_row.name, array[v_row.slot], array[p_nonce],
      array[v_row.metadata::text], v_row.shared, v_row.wanted);
  end loop;
  return v_given;
end
$$;

-- Stands in the transaction of the write. Passes while nobody has taken, released or revoked the lease since it was
-- granted with this token; from then on nobody can take it before this transaction ends. Otherwise the transaction
-- fails and cannot commit.
create or replace function guard(p_tenant text, p_name text, p_token bigint, p_slot integer default 0) returns void
language plpgsql volatile security definer
set search_path from current
as $$
begin
  -- KEY SHARE: excludes a takeover (FOR UPDATE), and neither other guards nor a release or renewal.
  perform from lease l
  where l.tenant = p_tenant and l.name = p_name and l.slot = p_slot and l.token = p_token and l.holder_id is not null
    and not (l.revoked and l.expires_at <= clock_timestamp())
  for key share;
  if not found then
    raise exception 'stale fencing token % for lease %', p_token, p_name
      using errcode = 'FP001',
            detail = 'The lease was taken by another holder, released or revoked.';
  end if;
end
$$;

-- Lets a schema that was restored, copied or upgraded go on in this database system, or lifts its tokens above p_floor.
-- Every token that is drawn later is greater than floor. Without a floor it does nothing where nothing is to be adopted.
--
-- The old system may have been promoted after the copy was made, and drawn tokens that nothing here tells of. So the
-- era leaps by more than anybody promotes.
create or replace function adopt(p_floor bigint, out adopted boolean, out floor bigint)
language plpgsql volatile
set search_path from current
as $$
declare
  v_leap constant bigint := 1024;
  v_system bigint := (select system_identifier from pg_control_system());
  v_timeline bigint := timeline();
  v_state state;
  v_era bigint;
begin
  perform durable();
  select * into v_state from state for update;
  v_era := v_timeline + v_state.timeline_offset;
  adopted := v_state.system_identifier <> v_system;
  if adopted then
    v_era := greatest(v_era, v_state.era, v_state.token_floor >> 44, (select max(token) >> 44 from lease), p_floor >> 44)
      + v_leap;
  elsif p_floor >> 44 >= v_era then
    v_era := (p_floor >> 44) + v_leap;
  end if;
  if v_era >= 1 << 19 then
    raise exception 'there is no room for greater tokens than that: they have 63 bits' using errcode = '22003';
  end if;
  floor := v_era * 17592186044416;
  update state
  set system_identifier = v_system, timeline_offset = v_era - v_timeline, era = v_era,
      token_floor = greatest(token_floor, p_floor);
end
$$;

-- Looks at the p_limit leases that follow a given one in the order of their keys, removes those that nobody has held for
-- p_age, and answers how many, and the last one that it looked at: nothing when there are no more. A removed row takes
-- its token along, so the floor for new rows is lifted to it in the same transaction. Places in queues whose process died
-- go as well: otherwise they would stay until somebody asks for the same lease again.
create or replace function lease_sweep(
  p_age interval, p_limit integer, p_tenant text, p_name text, p_slot integer,
  out swept integer, out last_tenant text, out last_name text, out last_slot integer)
language plpgsql volatile security definer
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
declare
  v_before timestamptz := clock_timestamp() - p_age;
  v_tenants text[];
  v_names text[];
  v_slots integer[];
  v_floor bigint;
begin
  perform durable();
  select tenant, name, slot into last_tenant, last_name, last_slot
  from lease where (tenant, name, slot) > (p_tenant, p_name, p_slot)
  order by tenant, name, slot offset p_limit - 1 limit 1;

  -- FOR UPDATE looks again at what was changed meanwhile, and skips what is being changed or guarded. A holder that
  -- expired before then is dead for good, whether it was buried or not.
  select array_agg(u.tenant), array_agg(u.name), array_agg(u.slot) into v_tenants, v_names, v_slots
  from (
    select l.tenant, l.name, l.slot
    from lease l
    where (l.tenant, l.name, l.slot) > (p_tenant, p_name, p_slot)
      and (last_slot is null or (l.tenant, l.name, l.slot) <= (last_tenant, last_name, last_slot))
      and greatest(l.released_at, l.acquired_at) < v_before
      and (l.holder_id is null
           or coalesce(l.expires_at, (select h.expires_at from holder h where h.id = l.holder_id), '-infinity') < v_before)
    for update of l skip locked
  ) u;
  -- A crowded row says so for the other rows of its resource, and goes once they are gone. Whoever makes another one
  -- holds a lock on it meanwhile, so there are none but those that this statement sees. The gate of a barrier says who
  -- was let in, and goes once nobody has a place there: whoever comes later has a greater token than it.
  with removed as (
    delete from lease l using unnest(v_tenants, v_names, v_slots) u(tenant, name, slot)
    where l.tenant = u.tenant and l.name = u.name and l.slot = u.slot
      and not (l.crowded and exists (
        select from lease o where o.tenant = l.tenant and o.name = l.name and o.slot > 0))
      and not (l.crowded and starts_with(l.name, '["fencepost","barrier gate",') and exists (
        select from lease o where o.tenant = l.tenant
          and o.name = replace(l.name, '["fencepost","barrier gate",', '["fencepost","barrier",')))
    returning l.token
  )
  select count(*), max(token) into swept, v_floor from removed;
  if swept > 0 then
    -- After the rows, as next_token does it.
    update state set token_floor = v_floor where token_floor < v_floor;
  end if;

  delete from ticket t
  where (t.tenant, t.name) >= (p_tenant, p_name)
    and (last_slot is null or (t.tenant, t.name) <= (last_tenant, last_name))
    and not exists (select from holder h where h.id = t.holder_id and h.expires_at >= v_before);
end
$$;

-- Lets a role call the public functions and read the views, and nothing else. What it has already is not granted
-- again: every grant writes to the catalogs, and migrate asks for it each time a process starts.
create or replace function grant_access(p_role regrole) returns void
language plpgsql volatile
set search_path from current
as $$
declare
  v_schema oid := (select oid from pg_namespace where nspname = current_schema());
  v_grant text;
begin
  for v_grant in
    select format('grant %s on %s to %s', o.privilege, o.name, p_role)
    from (
      select 'USAGE', format('schema %I', nspname), nspacl from pg_namespace where oid = v_schema
      union all
      select 'EXECUTE', format('function %s', oid::regprocedure), proacl from pg_proc
      where pronamespace = v_schema and (prosecdef or proname in ('key', 'key_in', 'family', 'claim_live', 'claim_run', 'claim_state', 'claim_counts'))
      union all
      select 'SELECT', format('%s', oid::regclass), relacl from pg_class
      where relnamespace = v_schema and relkind = 'v'
    ) o(privilege, name, acl)
    where not exists (select from aclexplode(o.acl) a where a.grantee = p_role and a.privilege_type = o.privilege)
  loop
    execute v_grant;
  end loop;
end
$$;

-- The tokens of the slots of a barrier whose holders live at a given time.
create or replace function barrier_present(p_tenant text, p_name text, p_now timestamptz) returns table (token bigint)
language sql volatile
set search_path from current
as $$
  select l.token from lease l left join holder h on h.id = l.holder_id
  where l.tenant = p_tenant and l.name = p_name and l.holder_id is not null and not l.revoked
    and coalesce(l.expires_at, h.expires_at) > p_now
$$;

-- Whether the round of a barrier that the participant with this token is in has begun. It begins at the moment at which
-- p_parties living participants hold slots of p_name that no earlier round let in. The gate, a lease that nobody holds,
-- keeps the newest token that was let in, and whoever has it locked decides: so a round begins once, and for exactly
-- those who were there. Tokens are drawn in the order of the grants, so whoever comes later has a greater one.
--
-- gate null: not yet; else the newest token of the round. p_withdraw: who is not let in gives up its slot in the same
-- moment, so that nobody counts on it.
create or replace function barrier_look(
  p_tenant text, p_name text, p_gate text, p_parties integer, p_token bigint, p_withdraw boolean)
returns bigint
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_gate bigint;
  v_present integer;
  v_newest bigint;
  v_now timestamptz := clock_timestamp();
  v_wanted boolean;
begin
  select l.token into v_gate from lease l where l.tenant = p_tenant and l.name = p_gate and l.slot = 0;
  if v_gate >= p_token then
    return v_gate;
  end if;
  select count(*) into v_present from barrier_present(p_tenant, p_name, v_now) p where p.token > coalesce(v_gate, 0);
  if v_present < p_parties and not p_withdraw then
    return null;
  end if;

  perform durable();
  -- Crowded: a sweep that removed it would make those who are in count for the next round.
  insert into lease (tenant, name, crowded) values (p_tenant, p_gate, true) on conflict do nothing;
  select l.token into v_gate from lease l
  where l.tenant = p_tenant and l.name = p_gate and l.slot = 0 for no key update;
  if v_gate >= p_token then
    return v_gate;
  end if;
  v_now := clock_timestamp();
  select count(*), max(p.token) into v_present, v_newest
  from barrier_present(p_tenant, p_name, v_now) p where p.token > v_gate;
  if v_present >= p_parties then
    update lease l set token = v_newest, released_at = v_now
    where l.tenant = p_tenant and l.name = p_gate and l.slot = 0;
    perform wake(array[p_tenant], array[p_name]);
    return case when v_newest >= p_token then v_newest end;
  end if;
  if p_withdraw then
    update lease l set holder_id = null, expires_at = null, released_at = v_now
    where l.tenant = p_tenant and l.name = p_name and l.token = p_token
    returning l.wanted into v_wanted;
    if v_wanted then
      perform wake(array[p_tenant], array[p_name]);
    end if;
  end if;
  return null;
end
$$;

-- How many of a round, or of earlier ones, are still there. The last one that leaves tells those who wait for it.
create or replace function barrier_left(p_tenant text, p_name text, p_gate bigint) returns integer
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_present integer := (
    select count(*) from barrier_present(p_tenant, p_name, clock_timestamp()) p where p.token <= p_gate);
begin
  if v_present = 0 then
    perform wake(array[p_tenant], array[p_name]);
  end if;
  return v_present;
end
$$;

-- Counts a part of a latch down: its slot is held for good, by nobody who could lose it or give it back. Asked again
-- with the same token it changes nothing. Fails when somebody else has got the slot since.
create or replace function latch_count(p_tenant text, p_name text, p_slot integer, p_token bigint) returns void
language plpgsql volatile security definer
set search_path from current
as $$
begin
  perform durable();
  update lease l
  set holder_id = '00000000-0000-0000-0000-000000000000', expires_at = '9999-12-31 00:00:00+00'
  where l.tenant = p_tenant and l.name = p_name and l.slot = p_slot and l.token = p_token
    and l.holder_id is not null and not l.revoked;
  if not found then
    raise exception 'stale fencing token % for part % of latch %', p_token, p_slot, p_name using errcode = 'FP001';
  end if;
  perform wake(array[p_tenant], array[p_name]);
end
$$;

-- How many parts of a latch have been counted down.
create or replace function latch_counted(p_tenant text, p_name text) returns integer
language sql stable security definer
set search_path from current
as $$
  select count(*)::integer from lease l
  where l.tenant = p_tenant and l.name = p_name and l.holder_id = '00000000-0000-0000-0000-000000000000'
$$;

-- What a key is about, without what tells it from others of its kind: the first part of a list, `#` for a bigint, else
-- the text before its first digit or one of : / . #, without what joins the two. 'import:17', 'import 18' and
-- '["import","19"]' are of one family; events say the same (familyOf). Inlined into the statement that calls it: 0.4
-- microseconds, where translate and split_part took 0.6.
create or replace function family(name text) returns text
language sql immutable parallel safe
return case when name like '["%' then split_part(name, '"', 2)
            when name like '#%' then '#'
            else rtrim(substring(ltrim(name, chr(92)) from '^[^0-9:/.#]*'), ' -_') end;

-- What operators see of leases. held: somebody has it as of now. wanted: somebody waits for it, or did a moment ago.
-- seconds_left: until it ends, unless it is renewed. The clock is read once: a query that takes long sees holders as they
-- were when it began, and would take those for dead that have renewed since.
create or replace view leases as
select l.tenant, l.name, l.slot, l.token, l.holder_id,
       l.holder_id is not null and coalesce(l.expires_at, h.expires_at, '-infinity') > (select clock_timestamp()) as held,
       coalesce(l.expires_at, h.expires_at) as expires_at, l.acquired_at, h.application, l.shared, l.revoked, l.metadata,
       l.wanted, family(l.name) as family,
       extract(epoch from coalesce(l.expires_at, h.expires_at) - (select clock_timestamp()))::float8 as seconds_left
from lease l
left join holder h on h.id = l.holder_id;

-- The processes that hold something, or did until a moment ago.
create or replace view holders as
select h.id, h.application, h.ttl, h.expires_at, h.beat_at, h.opened_at, h.expires_at > clock_timestamp() as alive,
       extract(epoch from h.expires_at - clock_timestamp())::float8 as seconds_left,
       extract(epoch from clock_timestamp() - h.beat_at)::float8 as seconds_silent
from holder h;

-- Session and transaction locks of this database, held and waited for. Keys are numbers: key() tells the one of a text.
create or replace view locks as
select l.classid::bigint << 32 | l.objid::bigint as key,
       case l.mode when 'ShareLock' then 'shared' else 'exclusive' end as mode, l.granted, l.pid,
       a.application_name as application, l.waitstart as since
from pg_locks l left join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database());

-- Who waits: for session and transaction locks in the server's queue, by their keys, and for leases. Of leases the
-- view has those who stand in line, each with their process, and one row for any number of others, without a process.
create or replace view waiters as
select 'lock' as kind, null as tenant, null as name, l.key, l.mode, l.application, l.pid, l.since
from locks l where not l.granted
union all
select 'lease', t.tenant, t.name, null, case when t.shared then 'shared' else 'exclusive' end, h.application, null, t.since
from ticket t join holder h on h.id = t.holder_id and h.expires_at > clock_timestamp()
union all
select 'lease', l.tenant, l.name, null, null, null, null, null
from lease l
where l.wanted and l.slot = 0 and l.holder_id is not null
  and not exists (select from ticket t where t.tenant = l.tenant and t.name = l.name);

-- Who is in whose way: a row for each of those who wait and each of those who have what they wait for. Of a lock that is
-- shared the way may also be barred by the first who waits for it alone. Whoever waits for a lease and does not stand in
-- line has no application here. Not in it: who waits for the last place of all tenants together.
create or replace view blocked as
with found as materialized (select * from locks)
select 'lock' as kind, null as tenant, null as name, w.key, w.mode, w.application, w.pid, w.since,
       b.application as by_application, b.pid as by_pid, null::bigint as by_token
from found w join found b on b.key = w.key and b.granted and (w.mode = 'exclusive' or b.mode = 'exclusive')
where not w.granted
union all
select 'lock', null, null, w.key, w.mode, w.application, w.pid, w.since, b.application, b.pid, null
from found w
join (select distinct on (f.key) f.* from found f where not f.granted and f.mode = 'exclusive' order by f.key, f.since) b
  on b.key = w.key and b.since < w.since
where not w.granted and w.mode = 'shared'
union all
select 'lease', w.tenant, w.name, null, w.mode, w.application, null, w.since, h.application, null, l.token
from waiters w
join lease l on l.tenant = w.tenant and l.name = w.name and not (l.shared and coalesce(w.mode = 'shared', false))
join holder h on h.id = l.holder_id
where w.kind = 'lease' and coalesce(l.expires_at, h.expires_at) > clock_timestamp();

-- Leases by tenant and family. It reads the whole table of leases, and counts before it looks who lives: 7 ms for 10,000.
create or replace view lease_counts as
select g.tenant, g.family, sum(g.count)::bigint as known, coalesce(sum(g.count) filter (where g.held), 0)::bigint as held,
       coalesce(sum(g.count) filter (where g.held and g.wanted), 0)::bigint as wanted,
       coalesce(sum(g.count) filter (where g.held and g.revoked), 0)::bigint as revoked,
       extract(epoch from min(g.expires_at) filter (where g.held) - (select clock_timestamp()))::float8 as seconds_left
from (
  select l.tenant, l.family, l.count, l.wanted, l.revoked, coalesce(l.expires_at, h.expires_at) as expires_at,
         l.holder_id is not null and coalesce(l.expires_at, h.expires_at, '-infinity') > (select clock_timestamp()) as held
  from (
    select tenant, family(name) as family, holder_id, expires_at, wanted, revoked, count(*) from lease
    group by 1, 2, 3, 4, 5, 6) l
  left join holder h on h.id = l.holder_id) g
group by 1, 2;

-- The numbers of the moment, for those who watch. tokens: how many were drawn so far, so that two looks give a rate; it
-- starts anew with each era. It counts the whole lease table, by holder before it looks who lives: 1.3 ms for 10,000.
create or replace function overview(
  out holders_alive bigint, out holders_expired bigint, out leases_known bigint, out leases_held bigint,
  out tickets bigint, out tokens bigint)
language sql volatile security definer
set search_path from current
as $$
  select h.alive, h.expired, l.known, l.held, t.tickets, coalesce(pg_sequence_last_value('token'), 0)
  from (select count(*) filter (where expires_at > (select clock_timestamp())) as alive,
               count(*) filter (where expires_at <= (select clock_timestamp())) as expired from holder) h,
       (select coalesce(sum(g.count), 0)::bigint as known, coalesce(sum(g.count) filter (
                 where g.holder_id is not null
                   and coalesce(g.expires_at, o.expires_at, '-infinity') > (select clock_timestamp())), 0)::bigint as held
        from (select holder_id, expires_at, count(*) from lease group by 1, 2) g
        left join holder o on o.id = g.holder_id) l,
       (select count(*) as tickets from ticket) t
$$;

insert into state (version, oldest_client, system_identifier)
select 1, 1, system_identifier from pg_control_system();

-- Private, whatever default privileges the owner has set for what it creates.
do $$
declare
  v_schema text := quote_ident(current_schema());
  v_role text;
begin
  for v_role in
    select 'public'
    union
    select a.grantee::regrole::text
    from (
      select relnamespace, relowner, relacl from pg_class
      union all
      select pronamespace, proowner, proacl from pg_proc
    ) o(schema, owner, acl), aclexplode(o.acl) a
    where o.schema = v_schema::regnamespace and a.grantee not in (0, o.owner)
  loop
    execute format('revoke all on all tables in schema %s from %s', v_schema, v_role);
    execute format('revoke all on all sequences in schema %s from %s', v_schema, v_role);
    execute format('revoke all on all functions in schema %s from %s', v_schema, v_role);
  end loop;
end
$$;

-- Down Migration
drop view lease_counts, blocked, waiters, locks, holders, leases;

-- In one statement: some depend on others.
do $$
begin
  execute (
    select 'drop function ' || string_agg(oid::regprocedure::text, ', ') from pg_proc
    where pronamespace = quote_ident(current_schema())::regnamespace);
end
$$;

drop table ticket, revocation, lease, holder, state;
drop sequence token;
