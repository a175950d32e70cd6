-- Session and transaction locks of this database, held and waited for. Keys are numbers: key() tells the one of a text.
create or replace view locks as
select l.classid::bigint << 32 | l.objid::bigint as key,
       case l.mode when 'ShareLock' then 'shared' else 'exclusive' end as mode, l.granted, l.pid,
       a.application_name as application, l.waitstart as since
from pg_locks l left join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database());
