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
