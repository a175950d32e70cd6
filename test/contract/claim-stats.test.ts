import { Fencepost, type WorkEvent } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import { expect, test } from 'vitest';
import { Tally } from '../../src/claim/tally.ts';
import { ManualClock } from '../support/clock.ts';
import { createDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

interface Tables {
  job: { id: string; status: string };
}

test('a pool tells what becomes of each row, and its numbers add up', async () => {
  await using database = await createDatabase();
  await database.query(`create table job (id integer primary key, status text default 'new')`);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = fencepost.claims.define({
    db: new Kysely<Tables>({ dialect: new PostgresDialect({ pool: database.pool }) }),
    table: 'job',
    key: 'id',
    where: (eb) => eb('status', '=', 'new'),
    orderBy: ['id'],
    maxAttempts: 1,
    done: { status: 'done' },
  });
  await jobs.ensure();
  await database.query('insert into job select generate_series(1, 9)');
  const events: WorkEvent<Tables['job'], Tables>[] = [];
  const errors: unknown[] = [];
  const gate = Promise.withResolvers<void>();
  const workers = jobs.work(
    {
      concurrency: 1,
      batch: 9,
      onError: (error) => errors.push(error),
      onEvent: (event) => {
        events.push(event);
        if (event.type === 'completed') throw new Error('from a listener');
      },
    },
    async (claim) => {
      const id = Number(claim.row.id);
      if (id === 2) throw new Error('no');
      if (id === 3) await claim.fail('never');
      if (id === 4) await claim.release({ after: '1h' });
      if (id === 5) await database.query('update job set fencepost_token = fencepost_token + 1 where id = 5');
      if (id === 6) await gate.promise;
    },
  );
  await until('it is at the sixth', () => workers.load.waiting === 3);
  expect(workers.stats()).toMatchObject({ claimed: 9, started: 6, completed: 1, running: 1, waiting: 3 });
  expect(workers.stats().rate).toBeGreaterThan(0);
  const stopped = workers.stop();
  gate.resolve();
  await stopped;
  expect(workers.stats()).toMatchObject({
    ...{ claimed: 9, started: 6, completed: 2, failed: 2, released: 4, stale: 1, running: 0, waiting: 0 },
  });
  const told = (id: number) =>
    events.filter(({ claim }) => Number(claim.row.id) === id).map(({ type }) => type);
  expect([1, 2, 3, 4, 5, 6, 7, 8, 9].map(told)).toEqual([
    ['started', 'completed'],
    ['started', 'failed'],
    ['started', 'failed'],
    ['started', 'released'],
    ['started', 'stale'],
    ['started', 'completed'],
    ...[['released'], ['released'], ['released']],
  ]);
  const failure = events.find((event) => event.type === 'failed');
  expect(failure?.error).toEqual(new Error('no'));
  const stale = events.find((event) => event.type === 'stale');
  expect(stale?.error).toMatchObject({ code: 'STALE_TOKEN' });
  expect(errors).toEqual([new Error('from a listener'), new Error('from a listener')]);
});

test('the rate is that of the last ten seconds, and forgets', () => {
  const clock = new ManualClock();
  const tally = new Tally(clock);
  const rate = () => tally.stats({ running: 0, waiting: 0 }).rate;
  expect(rate()).toBe(0);
  tally.count('completed', 3);
  expect(rate()).toBe(3);
  for (let second = 1; second < 30; second += 1) {
    clock.pass(1_000);
    tally.count('completed', 5);
  }
  expect(rate()).toBeCloseTo(50 / 9, 0);
  clock.pass(500);
  expect(rate()).toBeCloseTo(5, 0);
  clock.pass(20_000);
  expect(rate()).toBe(0);
  expect(tally.stats({ running: 0, waiting: 0 }).completed).toBe(3 + 29 * 5);
});
