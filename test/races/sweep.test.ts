import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { plant } from '../support/plant.ts';
import { raceWithSweeps } from './sweep.ts';

const limit = { timeout: 60_000 };

test('tokens of a lease rise while it is swept away between its holders', limit, async () => {
  await using database = await createDatabase();
  const { figures, violations } = await raceWithSweeps(database.url, { rounds: 3_000, names: 3, clients: 4 });
  expect(violations).toEqual([]);
  expect(Number(figures.swept)).toBeGreaterThan(100);
});

test('a sweep that forgets the floor would be found', limit, async () => {
  await using database = await createDatabase();
  await plant(database.query, 'lease_sweep', ['where token_floor < v_floor', 'where false']);
  const { violations } = await raceWithSweeps(database.url, { rounds: 500, names: 3, clients: 4 });
  expect(violations).not.toEqual([]);
});
