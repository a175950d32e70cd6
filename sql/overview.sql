-- The numbers of the moment, for those who watch. tokens: how many were drawn so far, so that two looks give a rate; it
-- starts anew with each era. It counts the whole lease table, by holder before it looks who lives: 1.3 ms for 10,000.
create or replace function overview(
  out holders_alive bigint, out holders_expired bigint, out leases_known bigint, out leases_held bigint,
  out tickets bigint, out tokens bigint)
language sql volatile security definer
set search_path from current
as $$
  select h.alive, h.expired, l.known, l.held, t.tickets, coalesce(pg_sequence_last_value('token'), 0)
  from (select count(*) filter (where expires_at > (select clock_timestamp())) as alive,
               count(*) filter (where expires_at <= (select clock_timestamp())) as expired from holder) h,
       (select coalesce(sum(g.count), 0)::bigint as known, coalesce(sum(g.count) filter (
                 where g.holder_id is not null
                   and coalesce(g.expires_at, o.expires_at, '-infinity') > (select clock_timestamp())), 0)::bigint as held
        from (select holder_id, expires_at, count(*) from lease group by 1, 2) g
        left join holder o on o.id = g.holder_id) l,
       (select count(*) as tickets from ticket) t
$$;
