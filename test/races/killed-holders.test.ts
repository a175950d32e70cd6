import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { rounds, tell, within } from '../support/figures.ts';
import { raceWithKills } from './killed-holders.ts';

test('whenever a process is killed, its session lock is free at once and its lease after the ttl, with a greater token', {
  ...within(60_000),
  tags: ['F01', 'F03'],
}, async () => {
  await using database = await createDatabase();
  const { figures, violations } = await raceWithKills(database.url, {
    rounds: rounds(12),
    lanes: 3,
    ttl: 300,
  });
  tell(figures);
  expect(violations).toEqual([]);
});
