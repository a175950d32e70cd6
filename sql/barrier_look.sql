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
