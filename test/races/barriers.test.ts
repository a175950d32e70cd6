import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { tell } from '../support/figures.ts';
import { plant } from '../support/plant.ts';
import { raceForBarriers } from './barriers.ts';

const race = { participants: 64, processes: 4, rounds: 3, ttl: 1_000, every: 500, seconds: 50 };

test.each(['fresh', 'reused'])(
  '64 participants are let in and count down together, names %s, while processes are killed',
  async (names) => {
    await using database = await createDatabase();
    const { figures, violations } = await raceForBarriers(database.url, { ...race, names });
    tell(figures);
    expect(violations).toEqual([]);
    expect(figures.kills).toBeGreaterThan(0);
  },
  60_000,
);

test('a barrier that counts too few would be found', async () => {
  await using database = await createDatabase();
  await plant(
    database.query,
    'barrier_look',
    ['v_present < p_parties', 'v_present < 1'],
    ['v_present >= p_parties', 'v_present >= 1'],
  );
  const { violations } = await raceForBarriers(database.url, {
    ...race,
    names: 'fresh',
    rounds: 1,
    every: 100_000,
    seconds: 15,
  });
  expect(violations.join('\n')).toContain('let in early');
}, 60_000);
