// @module-tag F24
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { rounds, tell, within } from '../support/figures.ts';
import { plant } from '../support/plant.ts';
import type { Findings } from '../support/script.ts';
import { raceHeartbeats } from './late-heartbeats.ts';

const few = { rounds: 500, clients: 16, resources: 4, ttl: 60 };

test('a holder whose heartbeat comes late stays dead, and nobody believes in a lease that another was granted', {
  ...within(60_000),
  tags: ['F06'],
}, async () => {
  await using database = await createDatabase();
  const { figures, violations } = await raceHeartbeats(database.url, { ...few, rounds: rounds(few.rounds) });
  tell(figures);
  expect(violations).toEqual([]);
  expect(Number(figures['holders lost'])).toBeGreaterThan(50);
  expect(Number(figures.takeovers)).toBeGreaterThan(50);
});

async function racePlanted(
  ...bugs: [name: string, ...edits: [from: string, to: string][]][]
): Promise<Findings> {
  await using database = await createDatabase();
  for (const [name, ...edits] of bugs) await plant(database.query, name, ...edits);
  return await raceHeartbeats(database.url, few);
}

/** As on a disk that takes its time: the heartbeat has its row and its moment, and commits later. */
const slowBeat: [string, string] = ['revoked := exists', 'perform pg_sleep(0.005); revoked := exists'];

test('a heartbeat that revives an expired holder would be found', async () => {
  const { violations } = await racePlanted([
    'holder_beat',
    ['v_holder.expires_at is not null and v_holder.expires_at > v_now', 'v_holder.expires_at is not null'],
  ]);
  expect(violations.join('\n')).toContain('revived');
});

test('slow heartbeats alone break nothing', async () => {
  const { violations } = await racePlanted(['holder_beat', slowBeat]);
  expect(violations).toEqual([]);
});
