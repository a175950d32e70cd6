// @module-tag F42
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { rounds, seconds, tell, within } from '../support/figures.ts';
import { limits, raceForSlots } from './slots.ts';

const options = {
  rounds: rounds(3_000),
  processes: 3,
  callers: 16,
  keys: 2,
  tenants: 3,
  times: 1,
  ttl: 1_000,
  every: 1_000,
  seconds: seconds(150),
};

test(
  'slots, of one limit or of one for each tenant and one for all, are never held by more',
  within(300_000),
  async () => {
    await using database = await createDatabase();
    const { figures, violations } = await raceForSlots(database.url, options);
    tell(figures);
    expect(violations, JSON.stringify(figures)).toEqual([]);
    expect(Number(figures['grants checked'])).toBeGreaterThan(500);
    expect(Number(figures.killed)).toBeGreaterThan(0);
  },
);

test('one more than there may be would be found', within(300_000), async () => {
  await using database = await createDatabase();
  const { slots, tenant, total } = limits(options.times);
  const less = { slots: slots - 1, tenant: tenant - 1, total: total - 1 };
  const { violations } = await raceForSlots(database.url, { ...options, rounds: 3_000, seconds: 150 }, less);
  expect(violations.join('\n')).toContain('at most as many holders as there are slots');
});
