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
