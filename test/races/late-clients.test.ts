// @module-tag F21
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { raceClients } from './late-clients.ts';

test('clients on networks that fall silent for about the ttl never hold a lease that another was granted', async () => {
  await using database = await createDatabase();
  const { figures, violations } = await raceClients(database.url, {
    rounds: 100,
    clients: 8,
    resources: 3,
    ttl: 300,
    seconds: 6,
  });
  expect(violations).toEqual([]);
  expect(Number(figures.lost)).toBeGreaterThan(0);
});
