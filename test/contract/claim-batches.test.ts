import { Fencepost, StaleTokenError } from 'fencepost';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { createJobs, insertJobs, jobsOf } from '../support/jobs.ts';
import { plant } from '../support/plant.ts';
import { until } from '../support/until.ts';
import { buryHolders } from './claim-rules.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());
await createJobs(database);
const { query } = database;

const jobs = (fencepost: Fencepost, options: object = {}) =>
  jobsOf(fencepost, database.pool, { storage: 'sidecar', ...options });
const open = () => new Fencepost({ connection: database.url });
const idsOf = (claims: readonly { readonly row: { readonly id: string } }[]) =>
  claims.map(({ row }) => row.id);
const done = async () =>
  (await query<{ id: string }>(`select id from job where status = 'done' order by id`)).map(({ id }) => id);
/** Which rows have an entry, and which are in a batch. */
const kept = async () => ({
  entries: (await query<{ key: string }>('select key from fencepost.claim order by key')).map(
    ({ key }) => key,
  ),
  batched: (await query<{ key: string }>('select key from fencepost.claim_batch_rows order by key')).map(
    ({ key }) => key,
  ),
  batches: (await query('select from fencepost.claim_batch')).length,
});
const nothing = { entries: [], batched: [], batches: 0 };

{
  await using fencepost = open();
  await jobs(fencepost).ensure();
}
beforeEach(() => query('truncate public.job, fencepost.claim, fencepost.claim_batch restart identity'));

test('rows that are claimed together have one row for all, and nothing is left of them when the last is settled', async () => {
  await insertJobs(database, 4);
  await using fencepost = open();
  const claims = await jobs(fencepost).claim({ limit: 4 });
  expect(await kept()).toEqual({ entries: [], batched: ['1', '2', '3', '4'], batches: 1 });
  const counts = await query<{ count: string }>('select count from fencepost.claim_counts()');
  expect(counts).toEqual([{ count: '4' }]);
  await claims[1]?.complete();
  await claims[0]?.complete(async () => {});
  await claims[2]?.release();
  expect(await kept()).toEqual({ entries: [], batched: ['4'], batches: 1 });
  await claims[3]?.complete();
  expect(await kept()).toEqual(nothing);
  expect(await done()).toEqual(['1', '2', '4']);
});

test('one that is given back, or fails, has an entry from then on; the others stay together', async () => {
  await insertJobs(database, 4);
  await using fencepost = open();
  const claims = await jobs(fencepost, { maxAttempts: 2 }).claim({ limit: 4 });
  await claims[0]?.release({ error: 'no' });
  await claims[1]?.fail('never');
  await claims[2]?.release({ after: 1_000_000 });
  expect(await kept()).toEqual({ entries: ['1', '2', '3'], batched: ['4'], batches: 1 });
  for (const claim of claims.slice(0, 2)) await expect(claim.fail('again')).rejects.toThrow();
  const again = await jobs(fencepost, { maxAttempts: 2 }).claim({ limit: 4 });
  expect(again.map(({ row, attempt }) => [row.id, attempt])).toEqual([['1', 2]]);
  expect((again[0]?.token ?? 0n) > (claims[0]?.token ?? 0n)).toBe(true);
  expect((await jobs(fencepost).aside()).map(({ row, error }) => [row.id, error])).toEqual([['2', 'never']]);
  await again[0]?.complete();
  await claims[3]?.complete();
  expect(await done()).toEqual(['1', '4']);
});

test('of a batch whose worker died half done, what was not settled is claimed again, and nothing else', async () => {
  await insertJobs(database, 6);
  await using one = open();
  await using other = open();
  const lost = await jobs(one).claim({ limit: 5 });
  await lost[1]?.complete();
  await lost[3]?.complete(async () => {});
  await buryHolders(database);
  // Two of them, and one more: the others stay where they are.
  const taken = await jobs(other).claim({ limit: 2 });
  expect(taken.map(({ row, attempt }) => [row.id, attempt])).toEqual([
    ['1', 2],
    ['3', 2],
  ]);
  expect(await kept()).toEqual({ entries: ['1', '3'], batched: ['5'], batches: 1 });
  for (const place of [0, 2]) {
    await expect(lost[place]?.complete()).rejects.toThrow(StaleTokenError);
    await expect(lost[place]?.complete(async () => {})).rejects.toThrow(StaleTokenError);
    await lost[place]?.release({ error: 'too late' });
  }
  // Nobody has this one yet.
  await lost[4]?.complete();
  expect(idsOf(await jobs(other).claim({ limit: 9 }))).toEqual(['6']);
  await Promise.all(taken.map((claim) => claim.complete()));
  expect(await done()).toEqual(['1', '2', '3', '4', '5']);
});

test('a row that kills its worker at each attempt is set aside, also at the only one', async () => {
  await insertJobs(database, 3);
  await using fencepost = open();
  for (const attempts of [1, 2]) {
    await jobs(fencepost, { maxAttempts: 2 }).claimKeys([1, attempts]);
    await buryHolders(database);
  }
  expect(idsOf(await jobs(fencepost, { maxAttempts: 1 }).claim({ limit: 3 }))).toEqual(['3']);
  expect(idsOf(await jobs(fencepost).aside()).sort()).toEqual(['1', '2']);
});

test('a row that is opened again can be claimed, however long another of its batch takes', async () => {
  await insertJobs(database, 2);
  await using one = open();
  await using other = open();
  const [slow, quick] = await jobs(one).claim({ limit: 2 });
  await quick?.complete();
  await query(`update job set status = 'new' where id = 2`);
  const again = await jobs(other).claim({ limit: 2 });
  expect(idsOf(again)).toEqual(['2']);
  await again[0]?.complete();
  await slow?.complete();
  expect(await kept()).toEqual(nothing);
});

test('while a row is completed with work, others of its batch are settled and taken over, and it is not', async () => {
  await insertJobs(database, 3);
  await using one = open();
  await using other = open();
  const claims = await jobs(one).claim({ limit: 3 });
  await claims[0]?.complete(async () => {
    await claims[1]?.complete();
    await buryHolders(database);
    expect(idsOf(await jobs(other).claim({ limit: 3 }))).toEqual(['3']);
  });
  expect(await done()).toEqual(['1', '2']);
  await expect(claims[2]?.complete()).rejects.toThrow(StaleTokenError);
});

test('what its work did itself to the row is settled with it', async () => {
  await insertJobs(database, 1);
  await using fencepost = open();
  const [claim] = await jobs(fencepost).claim();
  await claim?.complete((trx) => trx.deleteFrom('public.job').execute());
  expect(await query('select from job')).toEqual([]);
  expect(await kept()).toEqual(nothing);
});

test('a claim that was given back while its work went on commits nothing', async () => {
  await insertJobs(database, 1);
  await using fencepost = open();
  const [claim] = await jobs(fencepost, { deadline: 200 }).claim();
  const completing = claim?.complete(async (trx) => {
    await trx.updateTable('public.job').set({ weight: 9 }).execute();
    await until('it is given back', async () => (await kept()).batches === 0);
  });
  await expect(completing).rejects.toThrow(StaleTokenError);
  expect(await query('select weight, status from job')).toEqual([{ weight: 0, status: 'new' }]);
});

test('a row that is gone is not completed, and its batch does not stay for it', async () => {
  await insertJobs(database, 2);
  await using fencepost = open();
  const claims = await jobs(fencepost).claim({ limit: 2 });
  await query('delete from job where id = 1');
  await expect(claims[0]?.complete()).rejects.toThrow(StaleTokenError);
  await claims[1]?.complete();
  expect(await kept()).toEqual(nothing);
});

/** How often a claim is completed by two statements of which the second comes before the first has committed. */
async function twice(): Promise<number> {
  await insertJobs(database, 2);
  await using fencepost = open();
  await jobs(fencepost).claim({ limit: 2 });
  const [{ source, token } = { source: 0, token: '' }] = await query<{ source: number; token: string }>(
    'select source_id as source, token from fencepost.claim_batch',
  );
  const settle = `select cardinality(array_remove(fencepost.claim_settle_batch($1, array[$2::bigint], '{1}'), 0)) as times`;
  const first = await database.pool.connect();
  await first.query('begin');
  const [one] = (await first.query<{ times: number }>(settle, [source, token])).rows;
  const second = query<{ times: number }>(settle, [source, token]);
  await until('the second waits', async () => {
    const waiting = await query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return waiting.length > 0;
  });
  await first.query('commit');
  first.release();
  const [other] = await second;
  return (one?.times ?? 0) + (other?.times ?? 0);
}

test('two completions of a row at one time are one', async () => {
  expect(await twice()).toBe(1);
});

test('two completions that believe what they saw before they had the batch would be found', async () => {
  await plant(query, 'claim_end_batch', ['b.token = p_token for no key update;', 'b.token = p_token;']);
  expect(await twice()).toBe(2);
  await plant(query, 'claim_end_batch');
});

test('a claim passes by the batch of a dead worker in which somebody settles', async () => {
  await insertJobs(database, 3);
  await using one = open();
  await using other = open();
  await jobs(one).claim({ limit: 2 });
  await buryHolders(database);
  const settling = await database.pool.connect();
  await settling.query(`begin; select from fencepost.claim_batch for no key update`);
  expect(idsOf(await jobs(other).claim({ limit: 3 }))).toEqual(['3']);
  await settling.query('commit');
  settling.release();
  expect(idsOf(await jobs(other).claim({ limit: 3 }))).toEqual(['1', '2']);
});

test('a large claim does not wait for ever for one that does not end', async () => {
  await insertJobs(database, 3);
  await using fencepost = open();
  const [{ source } = { source: 0 }] = await query<{ source: number }>(
    `select id as source from fencepost.claim_sources where relation = 'job'::regclass`,
  );
  const frozen = await database.pool.connect();
  await frozen.query('begin');
  await frozen.query('select fencepost.claim_look($1, true, 0, true, false)', [source]);
  expect(idsOf(await jobs(fencepost).claim({ limit: 100 }))).toEqual(['1', '2', '3']);
  await frozen.query('rollback');
  frozen.release();
});

test('a table in whose batches somebody has rows is claimed by no other key', async () => {
  await insertJobs(database, 2);
  await using fencepost = open();
  const claims = await jobs(fencepost).claim({ limit: 2 });
  const other = () => query(`select fencepost.claim_source('job', '{weight}', null)`);
  await claims[0]?.complete();
  await expect(other()).rejects.toMatchObject({ code: 'FP005' });
  await claims[1]?.complete();
  await other();
  await query(`select fencepost.claim_source('job', '{id}', null)`);
});

test('rows of the dead that are gone are forgotten', async () => {
  await insertJobs(database, 3);
  await using one = open();
  await using other = open();
  await jobs(one).claim({ limit: 3 });
  await buryHolders(database);
  await query('delete from job where id <> 2');
  // Whoever claims next buries them.
  expect(await jobs(other).claimKeys([77])).toEqual([]);
  await jobs(other).ensure();
  expect(await kept()).toEqual({ entries: [], batched: ['2'], batches: 1 });
});
