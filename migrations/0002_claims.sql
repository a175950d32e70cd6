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
      and p.proname in ('claim_dead', 'claim_token') and a.grantee <> p.proowner
  loop
    execute format('revoke all on function %s from %s', v_function, v_role);
  end loop;
end
$$;

-- Down Migration
drop function claim_dead(uuid[]), claim_token(uuid, integer);
