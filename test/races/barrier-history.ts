/** What a race of barriers writes down, and what is looked up in it. */
import type pg from 'pg';

/**
 * An opening is a round that began: it let in whoever has a token after `after`, up to `upto`. The server notes it where
 * the gate of the barrier moves; everything else is what the participants and the one who kills them have noted.
 */
export async function prepareBarriers(pool: pg.Pool): Promise<void> {
  await pool.query(`
    create table opening (
      ordinal bigint generated always as identity, barrier text, after bigint, upto bigint, at timestamptz);
    create table attempt (
      id bigint generated always as identity primary key, process integer, barrier text, token bigint,
      there timestamptz, entered timestamptz, leaving timestamptz, went timestamptz, gone timestamptz);
    create table killed (process integer primary key, at timestamptz);
    create table part (round integer, index integer, at timestamptz);
    create table latch_open (round integer, at timestamptz);
    create function note_opening() returns trigger language plpgsql security definer as $$
    begin
      insert into public.opening (barrier, after, upto, at)
      values (new.name::jsonb ->> 2, old.token, new.token, new.released_at);
      return null;
    end $$;
    create trigger note_opening after update on fencepost.lease for each row
      when (new.name like '["fencepost","barrier gate"%' and new.token > old.token) execute function note_opening();
    -- The last moment at which one that was let in was there for sure: one that was stopped for too long may have lost
    -- its place long before it goes, and is waited for no more.
    create function still_there(a attempt) returns timestamptz language sql volatile as $$
      select statement_timestamp() where exists (
        select from fencepost.lease l join fencepost.holder h on h.id = l.holder_id
        where l.token = a.token and h.expires_at > clock_timestamp()) $$;
    -- A killed one counts until its ttl is over. What it was told is not known.
    create function present(a attempt, o opening, killed timestamptz, ttl interval) returns boolean
    language sql immutable as $$
      select a.there <= o.at and coalesce(a.gone >= o.at, true) and coalesce(a.entered >= o.at, true)
        and coalesce(killed + ttl >= o.at, true) and coalesce(a.token > o.after and a.token <= o.upto, true) $$`);
}

export async function checkBarriers(pool: pg.Pool, parties: number, ttl: number): Promise<string[]> {
  const span = `${ttl} milliseconds`;
  const { rows: early } = await pool.query(
    `select o.ordinal, o.barrier, count(*) filter (where present(a, o, k.at, $2)) as there
     from opening o join attempt a using (barrier) left join killed k using (process)
     group by o.ordinal, o.barrier having count(*) filter (where present(a, o, k.at, $2)) < $1`,
    [parties, span],
  );
  const { rows: before } = await pool.query(
    `select a.id, a.process, a.token from attempt a
     left join opening o on o.barrier = a.barrier and a.token > o.after and a.token <= o.upto
     where a.entered is not null and (o.at is null or o.at > a.entered)`,
  );
  const { rows: many } = await pool.query(
    `select o.ordinal, count(*)::int as entered from opening o
     join attempt a on a.barrier = o.barrier and a.token > o.after and a.token <= o.upto
     group by 1 having count(*) > $1`,
    [parties],
  );
  const { rows: left } = await pool.query(
    `select a.id, other.id as other from opening o
     join attempt a on a.barrier = o.barrier and a.token > o.after and a.token <= o.upto
     join attempt other on other.barrier = o.barrier and other.token > o.after and other.token <= o.upto
     where a.went < other.leaving`,
  );
  const { rows: undone } = await pool.query(
    `select l.round, count(distinct p.index)::int as begun
     from (select round, min(at) as at from latch_open group by 1) l
     left join part p on p.round = l.round and p.at <= l.at group by 1 having count(distinct p.index) <> $1`,
    [parties],
  );
  const told = (what: string, rows: unknown[]): string[] =>
    rows.map((row) => `${what}: ${JSON.stringify(row)}`);
  return [
    ...told('let in early', early),
    ...told('let in before a round began', before),
    ...told('more were let in than there are parties', many),
    ...told('left before another one of the round', left),
    ...told('opened before all parts were begun', undone),
  ];
}

export interface BarrierFigures extends Record<string, number> {
  rounds: number;
  /** From when enough were there, and the living of the round before had left, to the beginning. */
  'latest ms': number;
  /** From when the last one wanted to leave, or was killed, until one of the round had left. */
  'latest to leave, ms': number;
}

export async function measureBarriers(pool: pg.Pool, parties: number, ttl: number): Promise<BarrierFigures> {
  const { rows } = await pool.query(
    `with round as (
       select o.ordinal, o.at, count(a.entered) as entries, max(a.went) as went, max(coalesce(a.leaving, k.at)) as leaving
       from opening o join attempt a on a.barrier = o.barrier and a.token > o.after and a.token <= o.upto
       left join killed k using (process) group by o.ordinal, o.at
     ), crowd as (
       select o.ordinal, (array_agg(a.there order by a.there))[$1] as there
       from opening o join attempt a using (barrier) left join killed k using (process)
       where present(a, o, k.at, $2) group by o.ordinal
     )
     select count(*)::int as rounds, sum(entries)::int as entries,
       coalesce(max(extract(epoch from at - greatest(there, last))), 0) * 1000 as late,
       coalesce(max(extract(epoch from went - leaving)), 0) * 1000 as left
     from (select *, lag(leaving) over (order by ordinal) as last from round join crowd using (ordinal)) r`,
    [parties, `${ttl} milliseconds`],
  );
  const { rows: counted } = await pool.query(
    `select (select count(*) from part)::int as parts, (select count(distinct round) from latch_open)::int as latches,
       (select count(*) from attempt where gone is not null)::int as again`,
  );
  return {
    rounds: rows[0].rounds,
    entries: rows[0].entries,
    latches: counted[0].latches,
    'parts done': counted[0].parts,
    'had to come again': counted[0].again,
    'latest ms': Math.round(rows[0].late),
    'latest to leave, ms': Math.round(rows[0].left),
  };
}
