-- Runs the statement with which fresh rows are claimed: as the caller, and as a statement of its own, so that it sees
-- what was committed before claim_look answered. What it knows of claims is what that said. No statement, no rows.
create or replace function claim_run(
  p_text text, p_holder uuid, p_epoch integer, p_limit integer, p_tenant text, p_seen bigint[], p_flight text[],
  p_entries boolean, p_runs int8multirange)
returns setof record
language plpgsql volatile
as $$
begin
  if p_text is not null then
    return query execute p_text using p_holder, p_epoch, p_limit, p_tenant, p_seen, p_flight, p_entries, p_runs;
  end if;
end
$$;
