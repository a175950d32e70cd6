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
