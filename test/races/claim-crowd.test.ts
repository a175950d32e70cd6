// @module-tag F39
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { rounds, seconds, tell, within } from '../support/figures.ts';
import { plant } from '../support/plant.ts';
import { raceForRows } from './claim-crowd.ts';

const limit = within(60_000);

test.each([
  ['held', 'claim', 4, 1_000],
  ['columns', 'work', 20, 2_500],
  ['sidecar', 'work', 20, 2_500],
])(
  'in storage %s every row is completed once by %s while workers are killed and stopped past their ttl',
  limit,
  async (storage, by, batch, rows) => {
    await using database = await createDatabase();
    const race = {
      storage,
      by,
      rows: rounds(rows),
      processes: 4,
      batch,
      ttl: 400,
      every: 500,
      seconds: seconds(10),
    };
    const { figures, violations } = await raceForRows(database.url, race);
    tell(figures);
    expect(violations).toEqual([]);
    expect(Number(figures.kills) + Number(figures.freezes)).toBeGreaterThan(0);
  },
);

test('two workers on one row would be found', limit, async () => {
  await using database = await createDatabase();
  // Everybody is dead: what is claimed is given out again, though with a new token.
  await plant(database.query, 'claim_dead', ['where h <> all (v_live)', '']);
  // And the token does not move.
  await plant(database.query, 'claim_token', ['return greatest(v_token, v_floor)', 'return 0']);
  const race = {
    storage: 'columns',
    by: 'claim',
    rows: 500,
    processes: 4,
    batch: 20,
    ttl: 10_000,
    every: 100_000,
    seconds: 10,
  };
  const { figures } = await raceForRows(database.url, race);
  expect(Number(figures.stale)).toBeGreaterThan(0);
});
