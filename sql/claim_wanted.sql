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
