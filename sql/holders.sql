-- The processes that hold something, or did until a moment ago.
create or replace view holders as
select h.id, h.application, h.ttl, h.expires_at, h.beat_at, h.opened_at, h.expires_at > clock_timestamp() as alive,
       extract(epoch from h.expires_at - clock_timestamp())::float8 as seconds_left,
       extract(epoch from clock_timestamp() - h.beat_at)::float8 as seconds_silent
from holder h;
