import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { raceForKeys } from './claim-keys.ts';

const limit = { timeout: 60_000 };
const race = { rows: 120, keys: 6, processes: 3, batch: 8, ttl: 400, every: 900, seconds: 20 };

test.each([
  ['columns', 3],
  ['sidecar', 1],
])(
  'in storage %s no key has more than %i rows under way while workers are killed',
  limit,
  async (storage, most) => {
    await using database = await createDatabase();
    const { figures, violations } = await raceForKeys(database.url, { ...race, storage, limit: most });
    expect(violations).toEqual([]);
    expect(figures.most).toBe(most);
  },
);
