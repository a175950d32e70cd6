import { Fencepost, StaleTokenError } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';

interface Tables {
  job: { id: string; tenant: string; status: string; priority: number; note: string | null };
}

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());
const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: database.pool }) });

await database.query(`create table job (
  id bigint generated always as identity primary key, tenant text not null default 'a',
  status text not null default 'new', priority integer not null default 0, note text)`);

function define(fencepost: Fencepost, options: object = {}) {
  return fencepost.claims.define<Tables, 'job'>({
    db,
    table: 'job',
    key: 'id',
    tenant: 'tenant',
    where: (eb) => eb('status', '=', 'new'),
    orderBy: ['priority desc', 'id'],
    ttl: '10s',
    done: { status: 'done' },
    ...options,
  });
}

const open = () => new Fencepost({ connection: database.url });
const insert = (count: number, priority = '0') =>
  database.query(`insert into job (priority) select ${priority} from generate_series(1, ${count}) n`);

{
  await using fencepost = open();
  await define(fencepost).ensure();
}

beforeEach(() => database.query('truncate job restart identity'));

test('claims in order, never more than asked, each row once', async () => {
  await insert(10, 'n % 2');
  await using one = open();
  await using other = open();
  const first = await define(one).claim({ limit: 3 });
  expect(first.map(({ row }) => row.id)).toEqual(['1', '3', '5']);
  expect(first.map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
  expect(first[0]?.row).toEqual({ id: '1', tenant: 'a', status: 'new', priority: 1, note: null });
  const second = await define(other).claim({ limit: 100 });
  expect(second.map(({ row }) => row.id)).toEqual(['7', '9', '2', '4', '6', '8', '10']);
  expect(await define(other).claim()).toEqual([]);
});

test('a completed row is done, and its claim is settled', async () => {
  await insert(2);
  await using fencepost = open();
  const jobs = define(fencepost);
  const [claim] = await jobs.claim();
  await claim?.complete();
  expect(claim?.state).toBe('released');
  await expect(claim?.complete()).rejects.toMatchObject({ code: 'STATE' });
  expect(await database.query('select id, status from job order by id')).toEqual([
    { id: '1', status: 'done' },
    { id: '2', status: 'new' },
  ]);
});

test('a stale completion is refused', async () => {
  await insert(1);
  await using fencepost = open();
  const [claim] = await define(fencepost).claim();
  await database.query('update job set fencepost_token = fencepost_token + 1');
  await expect(claim?.complete()).rejects.toThrow(StaleTokenError);
});
