-- The numbers of the moment, for those who watch. tokens: how many were drawn so far, so that two looks give a rate; it
-- starts anew with each era. It counts the whole lease table: a few milliseconds for 10,000.
create or replace function overview(
  out holders_alive bigint, out holders_expired bigint, out leases_known bigint, out leases_held bigint,
  out tickets bigint, out tokens bigint)
language sql volatile security definer
set search_path from current
as $$
  select h.alive, h.expired, l.known, l.held, t.tickets, coalesce(pg_sequence_last_value('token'), 0)
  from (select count(*) filter (where expires_at > clock_timestamp()) as alive,
               count(*) filter (where expires_at <= clock_timestamp()) as expired from holder) h,
       (select count(*) as known, count(*) filter (where held) as held from leases) l,
       (select count(*) as tickets from ticket) t
$$;
