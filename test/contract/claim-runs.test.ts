/**
 * Keys that are whole numbers: of a batch that is a run of them, others know the first and the last alone, and step over
 * it where the order ends with the key.
 */
import fc from 'fast-check';
import { Fencepost } from 'fencepost';
import { afterAll, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { createJobs, jobsOf } from '../support/jobs.ts';
import { plant } from '../support/plant.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());
await createJobs(database);
const { query } = database;

/** Neighbours, from below zero on or where numbers get one digit more; of some there is no row, and some are free later. */
type Free = { id: number; when: 'now' | 'later' | 'never'; weight: 0 | 1 };
const free = fc.record({
  when: fc.constantFrom<Free['when'][]>('now', 'now', 'now', 'later', 'never'),
  weight: fc.constantFrom<Free['weight'][]>(0, 0, 0, 1),
});
const rows: fc.Arbitrary<Free[]> = fc
  .tuple(fc.constantFrom(-12, -3, 1, 7, 95), fc.array(free, { minLength: 1, maxLength: 20 }))
  .map(([first, all]) =>
    all.map((one, place) => ({ id: first + place, ...one })).filter(({ when }) => when !== 'never'),
  );

/** Six rows from 5 to 10, were it not that two of them are below zero. */
const belowZero: Free[] = [
  ...[-2, -1, 5, 6, 7, 10].map((id) => ({ id, when: 'now', weight: 0 }) as const),
  ...[8, 9].map((id) => ({ id, when: 'later', weight: 0 }) as const),
].sort((a, b) => a.id - b.id);

const orders = [['id'], ['id desc'], ['weight desc', 'id'], ['weight', 'id desc']] as const;
type Order = (typeof orders)[number];

/** The rows as the order has them. */
function sorted(all: readonly Free[], order: Order): Free[] {
  const compare = order.map((column) => {
    const [name, direction] = column.split(' ') as ['id' | 'weight', string?];
    return (a: Free, b: Free): number => (direction === undefined ? a[name] - b[name] : b[name] - a[name]);
  });
  return all.toSorted((a, b) => compare.reduce((found, one) => found || one(a, b), 0));
}

/** What is free among the rows of batches is claimed, in order; answers how many batches there were, and how many runs. */
async function claimAll(numRuns: number): Promise<{ batches: number; runs: number }> {
  await using fencepost = new Fencepost({ connection: database.url });
  const definitions = new Map(
    orders.map((order) => [
      order,
      jobsOf(fencepost, database.pool, { storage: 'sidecar', orderBy: [...order] }),
    ]),
  );
  let [batches, runs] = [0, 0];
  const limits = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 6 });
  const order = fc.constantFrom(...orders);
  await fc.assert(
    fc.asyncProperty(rows, order, limits, order, limits, async (numbers, first, before, second, after) => {
      await query('truncate public.job, fencepost.claim, fencepost.claim_batch');
      await query(
        `insert into public.job (id, status, weight) overriding system value
         select * from unnest($1::bigint[], $2::text[], $3::integer[])`,
        [
          numbers.map(({ id }) => id),
          numbers.map(({ when }) => (when === 'now' ? 'new' : 'later')),
          numbers.map(({ weight }) => weight),
        ],
      );
      const taken = new Set<string>();
      const claim = async (by: Order, limit: number, late: boolean): Promise<void> => {
        const left = sorted(numbers, by).filter(
          ({ id, when }) => (late || when === 'now') && !taken.has(String(id)),
        );
        const claims = await definitions.get(by)?.claim({ limit });
        expect(claims?.map(({ row }) => row.id)).toEqual(left.slice(0, limit).map(({ id }) => String(id)));
        for (const { row } of claims ?? []) taken.add(row.id);
      };
      for (const limit of before) await claim(first, limit, false);
      await query(`update public.job set status = 'new'`);
      for (const limit of after) await claim(second, limit, true);
      const kept = await query<{ run: string | null }>('select run from fencepost.claim_batch');
      batches += kept.length;
      runs += kept.filter(({ run }) => run !== null).length;
    }),
    { numRuns, examples: [[belowZero, orders[0], [6], orders[0], [2]]] },
  );
  expect(runs).toBeGreaterThan(0);
  expect(runs).toBeLessThan(batches);
  return { batches, runs };
}

test('what is free among the rows of batches is claimed, whatever their numbers', async () => {
  const { batches, runs } = await claimAll(100);
  console.log(`${batches} batches, ${runs} of them runs`);
});

test('what is free is claimed by steps over runs, too, whatever the order', async () => {
  await query('create sequence public.steps');
  await plant(
    query,
    'claim_run',
    ['> 4000', '> 0'],
    ['v_text := p_steps;', `v_text := p_steps; perform nextval('public.steps');`],
  );
  const { batches, runs } = await claimAll(200);
  const [row] = await query<{ claims: string }>('select last_value as claims from public.steps');
  console.log(`${batches} batches, ${runs} of them runs, ${row?.claims} claims by steps`);
  expect(Number(row?.claims)).toBeGreaterThan(100);
});
