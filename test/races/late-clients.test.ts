// @module-tag F21
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { rounds, seconds, tell, within } from '../support/figures.ts';
import { raceClients } from './late-clients.ts';

test(
  'clients on networks that fall silent for about the ttl never hold a lease that another was granted',
  within(60_000),
  async () => {
    await using database = await createDatabase();
    const { figures, violations } = await raceClients(database.url, {
      rounds: rounds(100),
      clients: 8,
      resources: 3,
      ttl: 300,
      seconds: seconds(6),
    });
    tell(figures);
    expect(violations).toEqual([]);
    expect(Number(figures.lost)).toBeGreaterThan(0);
  },
);
