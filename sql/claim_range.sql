-- Between which places the keys of a batch stand, so that few rows need not be looked for in all batches. Shorter keys
-- come first: then numbers stand in their order, and batches of neighbours have little in common.
create or replace function claim_range(p_keys text[], out first text, out last text)
language sql immutable
set search_path from current
as $$
  select min(k.place collate "C"), max(k.place collate "C") from (
    select chr(33 + least(octet_length(key), 90)) || key as place from unnest(p_keys) key offset 0) k
$$;
