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
