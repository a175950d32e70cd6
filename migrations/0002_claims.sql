-- Up Migration
-- Runs with search_path = <schema>, pg_temp, as those before it.

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

-- The trigger on a user's table, after each statement: tells that rows may have come, when somebody wants to know. A
-- NOTIFY makes the commits of the whole database wait for each other, so it is sent once, and then when somebody has
-- asked anew: not at all while all workers are busy, and at most 20 times a second.
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
create or replace function claim_wanted(p_table oid) returns integer
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_name text := format('%I.%I', current_schema(), 'wanted_' || p_table);
  v_rate constant bigint := 50;
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
  v_function regprocedure;
  v_role text;
begin
  for v_function, v_role in
    select p.oid, case a.grantee when 0 then 'public' else a.grantee::regrole::text end
    from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    where p.pronamespace = quote_ident(current_schema())::regnamespace
      and p.proname in ('claim_dead', 'claim_token', 'claim_wake', 'claim_wanted') and a.grantee <> p.proowner
  loop
    execute format('revoke all on function %s from %s', v_function, v_role);
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
drop function claim_dead(uuid[]), claim_token(uuid, integer), claim_wanted(oid);
