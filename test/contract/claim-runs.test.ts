/** Keys that are whole numbers: of a batch that is a run of them, others know the first and the last alone. */
import fc from 'fast-check';
import { Fencepost } from 'fencepost';
import { afterAll, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { createJobs, jobsOf } from '../support/jobs.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());
await createJobs(database);
const { query } = database;

/** Neighbours, from below zero on or where numbers get one digit more; of some there is no row, and some are free later. */
type Free = { id: number; when: 'now' | 'later' | 'never' };
const rows: fc.Arbitrary<Free[]> = fc
  .tuple(
    fc.constantFrom(-12, -3, 1, 7, 95),
    fc.array(fc.constantFrom<Free['when'][]>('now', 'now', 'now', 'later', 'never'), {
      minLength: 1,
      maxLength: 16,
    }),
  )
  .map(([first, free]) =>
    free.map((when, place) => ({ id: first + place, when })).filter(({ when }) => when !== 'never'),
  );

/** Six rows from 5 to 10, were it not that two of them are below zero. */
const belowZero: Free[] = [
  ...[-2, -1, 5, 6, 7, 10].map((id) => ({ id, when: 'now' }) as const),
  ...[8, 9].map((id) => ({ id, when: 'later' }) as const),
].sort((a, b) => a.id - b.id);

test('what is free among the rows of batches is claimed, whatever their numbers', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = jobsOf(fencepost, database.pool, { storage: 'sidecar' });
  let [batches, runs] = [0, 0];
  const limits = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(rows, limits, limits, async (numbers, before, after) => {
      await query('truncate public.job, fencepost.claim, fencepost.claim_batch');
      await query(
        `insert into public.job (id, status) overriding system value select * from unnest($1::bigint[], $2::text[])`,
        [numbers.map(({ id }) => id), numbers.map(({ when }) => (when === 'now' ? 'new' : 'later'))],
      );
      const taken = new Set<string>();
      const claim = async (limit: number, late: boolean): Promise<void> => {
        const free = numbers.filter(({ id, when }) => (late || when === 'now') && !taken.has(String(id)));
        const claims = await jobs.claim({ limit });
        expect(claims.map(({ row }) => row.id)).toEqual(free.slice(0, limit).map(({ id }) => String(id)));
        for (const { row } of claims) taken.add(row.id);
      };
      for (const limit of before) await claim(limit, false);
      await query(`update public.job set status = 'new'`);
      for (const limit of after) await claim(limit, true);
      const kept = await query<{ run: string | null }>('select run from fencepost.claim_batch');
      batches += kept.length;
      runs += kept.filter(({ run }) => run !== null).length;
    }),
    { numRuns: 150, examples: [[belowZero, [6], [2]]] },
  );
  console.log(`${batches} batches, ${runs} of them runs`);
  expect(runs).toBeGreaterThan(0);
  expect(runs).toBeLessThan(batches);
});
