-- The processes that hold something, or did until a moment ago.
create or replace view holders as
select h.id, h.application, h.ttl, h.expires_at, h.beat_at, h.opened_at, h.expires_at > clock_timestamp() as alive
from holder h;
