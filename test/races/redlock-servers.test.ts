import { expect, test } from 'vitest';
import { raceForMajority } from './redlock-servers.ts';

const race = { seconds: 4, workers: 4, duration: 1_000, away: 1_000, calm: 200, quorum: 2 };

test('no two hold a lock of three servers at once while one is ended and one is frozen in turn', async () => {
  const { figures, violations } = await raceForMajority('', race);
  expect(violations).toEqual([]);
  expect(figures.ends).toBeGreaterThan(0);
  expect(figures.freezes).toBeGreaterThan(0);
}, 60_000);

test('holders without a majority would be found', async () => {
  const { violations } = await raceForMajority('', { ...race, seconds: 1, quorum: 1 });
  expect(violations.join('\n')).toContain('two at once');
}, 60_000);
