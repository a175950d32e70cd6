import type { Generated } from 'kysely';
import pg from 'pg';
import { accounts, type Plan, type Transfer } from './plan.ts';

/** The tables that the workers see. */
export interface Ledger {
  account: { tenant: string; name: string; opening: number; balance: number };
  transfer: Transfer;
  booking: {
    id: Generated<string>;
    tenant: string;
    number: number;
    worker: number;
    token: bigint;
    source_after: number;
    target_after: number;
  };
}

const schema = `
  create table account (
    tenant text, name text, opening integer not null, balance integer not null, primary key (tenant, name));
  create table transfer (
    tenant text, number integer, source text not null, target text not null, amount integer not null,
    bank_ms integer not null, primary key (tenant, number));
  -- The journal: which transfer was booked under which token, and which balances it wrote.
  create table booking (
    id bigint generated always as identity primary key, tenant text not null, number integer not null,
    worker integer not null, token bigint not null, source_after integer not null, target_after integer not null);
  create index on booking (tenant, number);
  -- What each booking read from an account, and what it wrote. Filled for the audit.
  create materialized view entry as
    select id, tenant, number, source as account, source_after + amount as before, source_after as after
    from booking join transfer using (tenant, number)
    union all
    select id, tenant, number, target, target_after - amount, target_after
    from booking join transfer using (tenant, number)
    with no data;
  create index on entry (tenant, account, after, id)`;

const openingBalance = 10_000;

/** Writes the plan into an empty database. */
export async function openLedger(connection: string, { tenants, transfers }: Plan): Promise<void> {
  await withClient(connection, async (client) => {
    await client.query(schema);
    await client.query(
      `insert into account select tenant, name, $3, $3 from unnest($1::text[]) tenant, unnest($2::text[]) name`,
      [tenants, accounts, openingBalance],
    );
    await client.query('insert into transfer select * from json_populate_recordset(null::transfer, $1)', [
      JSON.stringify(transfers),
    ]);
  });
}

/** What the database says afterwards. */
export interface Audit {
  readonly expectedSum: number;
  readonly foundSum: number;
  readonly accounts: number;
  /** Accounts that do not hold what the plan gives them. */
  readonly wrongAccounts: number;
  /** Transfers up to the last booked one of each tenant. */
  readonly due: number;
  /** Booked once, and part of both balances. */
  readonly once: number;
  /** Booked twice or more often. */
  readonly twice: number;
  /** Missing from a balance: never booked, or overwritten by a booking that had not read it. */
  readonly lost: number;
  /** Writes over a balance that was not the one they had read. */
  readonly lostUpdates: number;
  /** Bookings under a token older than one that had booked before. */
  readonly staleWrites: number;
}

// A booking draws its id while it has both accounts locked: the ids put the writes to an account in order.
const auditQuery = `
  with recursive standing as (
    -- From the last entry of each account back to the one that it was computed from, and so on. What is not met on
    -- this way was overwritten by somebody who had not read it.
    (select distinct on (tenant, account) * from entry order by tenant, account, id desc)
    union all
    select origin.* from standing s cross join lateral (
      select * from entry e
      where e.tenant = s.tenant and e.account = s.account and e.after = s.before and e.id < s.id
      order by e.id desc limit 1) origin
  ), booked as (
    select tenant, number, count(*) as times from booking group by tenant, number
  ), stands as (
    select tenant, number, count(distinct account) = 2 as whole from standing group by tenant, number
  ), due as (
    select t.*, coalesce(b.times, 0) as times, coalesce(s.whole, false) as whole
    from transfer t left join booked b using (tenant, number) left join stands s using (tenant, number)
    where t.number <= (select max(b.number) from booking b where b.tenant = t.tenant)
  ), planned as (
    select a.*, a.opening + coalesce(sum(case when d.source = a.name then -d.amount else d.amount end), 0) as planned
    from account a left join due d on d.tenant = a.tenant and a.name in (d.source, d.target)
    group by a.tenant, a.name
  ), entry_in_order as (
    select e.before, lag(e.after, 1, a.opening) over (partition by e.tenant, e.account order by e.id) as present
    from entry e join account a on a.tenant = e.tenant and a.name = e.account
  ), booking_in_order as (
    select token, max(token) over (partition by tenant order by id) as newest from booking
  )
  select (select sum(opening) from account)::int as "expectedSum",
         (select sum(balance) from account)::int as "foundSum",
         (select count(*) from account)::int as "accounts",
         (select count(*) from planned where balance <> planned)::int as "wrongAccounts",
         (select count(*) from due)::int as "due",
         (select count(*) from due where times = 1 and whole)::int as "once",
         (select count(*) from due where times > 1)::int as "twice",
         (select count(*) from due where not whole)::int as "lost",
         (select count(*) from entry_in_order where before <> present)::int as "lostUpdates",
         (select count(*) from booking_in_order where token < newest)::int as "staleWrites"`;

export async function audit(connection: string): Promise<Audit> {
  return withClient(connection, async (client) => {
    await client.query('refresh materialized view entry');
    const { rows } = await client.query<Audit>(auditQuery);
    const [found] = rows;
    if (found === undefined) throw new Error('the audit found nothing');
    return found;
  });
}

/** A whole plan, nothing else, and something of it. */
export function isClean(found: Audit): boolean {
  const sumIsRight = found.foundSum === found.expectedSum && found.wrongAccounts === 0;
  const onceEach = found.due > 0 && found.once === found.due && found.twice === 0 && found.lost === 0;
  return sumIsRight && onceEach && found.lostUpdates === 0 && found.staleWrites === 0;
}

export async function withClient<T>(connection: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: connection });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
