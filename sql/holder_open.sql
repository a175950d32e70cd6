-- A new living process. Its id is drawn here and never comes back, so a dead holder cannot be revived by a late call.
create or replace function holder_open(p_ttl interval, p_application text) returns uuid
language plpgsql volatile security definer
set search_path from current
as $$
declare
  v_id uuid := gen_random_uuid();
  v_now timestamptz := clock_timestamp();
begin
  perform durable();
  -- Holders that nobody's takeover has buried: a few at each opening keep the table small.
  delete from holder where id in (
    select id from holder where expires_at < v_now - interval '1 hour' limit 10 for update skip locked);
  delete from revocation r where not exists (select from holder h where h.id = r.holder_id);
  insert into holder (id, ttl, expires_at, beat_at, opened_at, application, timeline)
  values (v_id, p_ttl, v_now + p_ttl, v_now, v_now, p_application, timeline());
  return v_id;
end
$$;
