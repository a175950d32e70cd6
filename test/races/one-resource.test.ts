// @module-tag F25
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { rounds, seconds, tell, within } from '../support/figures.ts';
import { plant } from '../support/plant.ts';
import { raceForOne } from './one-resource.ts';

const limit = within(60_000);

test(
  'eight processes that want one resource write one after the other, with rising tokens',
  limit,
  async () => {
    await using database = await createDatabase();
    const race = {
      rounds: rounds(2_500),
      processes: 8,
      faults: 0,
      ttl: 30_000,
      seconds: seconds(10),
      slots: 1,
    };
    const { figures, violations } = await raceForOne(database.url, race);
    tell(figures);
    expect(violations).toEqual([]);
    expect(figures.writers).toBe(8);
  },
);

test('that holds while processes are stopped past their ttl, and killed', {
  ...limit,
  tags: ['F04'],
}, async () => {
  await using database = await createDatabase();
  const race = { rounds: rounds(100_000), processes: 5, faults: 8, ttl: 250, seconds: seconds(5), slots: 1 };
  const { figures, violations } = await raceForOne(database.url, race);
  tell(figures);
  expect(violations).toEqual([]);
  expect(Number(figures.freezes)).toBeGreaterThan(0);
});

test(
  'each of three slots has one holder at a time, while processes are stopped and killed',
  limit,
  async () => {
    await using database = await createDatabase();
    const race = { rounds: 100_000, processes: 6, faults: 8, ttl: 250, seconds: 5, slots: 3 };
    const { figures, violations } = await raceForOne(database.url, race);
    tell(figures);
    expect(violations).toEqual([]);
    expect(Number(figures.kills)).toBeGreaterThan(0);
    const slots = await database.query('select distinct slot from history order by 1');
    expect(slots).toEqual([{ slot: 0 }, { slot: 1 }, { slot: 2 }]);
  },
);

test('two holders at once would be found', limit, async () => {
  await using database = await createDatabase();
  // What is held is given out again, and the guard does not look at the token.
  await plant(
    database.query,
    'lease_acquire',
    [
      'and (l.holder_id is null\n',
      "and (l.holder_id is null or clock_timestamp() > l.acquired_at + interval '1 millisecond'\n",
    ],
    ['l.holder_id <> all (v_live)', 'true'],
  );
  await plant(database.query, 'guard', ['and l.token = p_token ', ''], ['for key share', '']);
  const race = { rounds: 300, processes: 4, faults: 0, ttl: 30_000, seconds: 5, slots: 1 };
  const { violations } = await raceForOne(database.url, race);
  expect(violations).not.toEqual([]);
});
