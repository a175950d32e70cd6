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
