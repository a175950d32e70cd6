import { describe, expect, test } from 'vitest';
import { rounds, seconds, tell, within } from '../support/figures.ts';
import { clocksCanBeSet } from '../support/server-clock.ts';
import { type MixedFaults, raceWithFaults } from './mixed-faults.ts';

const race: MixedFaults = {
  rounds: rounds(1_000_000),
  seconds: seconds(6),
  processes: 3,
  callers: 8,
  keys: 8,
  ttl: 400,
  every: 200,
  guard: 1,
  steps: 0,
};

test('whatever goes wrong, no write is accepted after a newer one, and one at a time believes', {
  ...within(60_000),
  tags: ['F04', 'F09', 'F16', 'F17', 'F21', 'F25'],
}, async () => {
  const { figures, violations } = await raceWithFaults(race);
  tell(figures);
  expect(violations).toEqual([]);
  expect(Number(figures['accepted writes'])).toBeGreaterThan(100);
});

describe.runIf(clocksCanBeSet)('with libfaketime', () => {
  test('nor while the clock of the server is set by an hour, forth and back', {
    ...within(60_000),
    tags: ['F41'],
  }, async () => {
    const { figures, violations } = await raceWithFaults({ ...race, steps: 1 });
    tell(figures);
    // When its clock leaps an hour the server gives leases to others before their holders can know: only the guard holds.
    expect(violations.filter((violation) => !violation.includes('one holder at a time'))).toEqual([]);
    expect(Number(figures['clock set'])).toBeGreaterThan(0);
  });
});
