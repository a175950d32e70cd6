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
