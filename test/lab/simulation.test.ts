import { expect, test } from 'vitest';
import { simulate, usual } from './simulation.ts';
import { simulateAll } from './simulation-worker.ts';

const limit = { timeout: 60_000 };

test('clients of whatever luck keep the promises of leases, seed by seed', limit, async () => {
  const { failed, ...figures } = await simulateAll({ from: 1, count: 600, guard: true });
  console.log(figures);
  expect(failed).toEqual([]);
  expect(figures.refusedWrites).toBeGreaterThan(0);
});

test('one seed is one run', limit, async () => {
  const history = async (seed: number): Promise<string[]> => {
    const told: string[] = [];
    await simulate(seed, { ...usual, tell: (what) => told.push(what) });
    return told;
  };
  for (const seed of [1, 2, 3]) expect(await history(seed)).toEqual(await history(seed));
  expect(await history(1)).not.toEqual(await history(2));
});

test('its twin without the guard shows writes after newer ones', limit, async () => {
  const { staleWrites } = await simulateAll({ from: 1, count: 600, guard: false });
  expect(staleWrites).toBeGreaterThan(0);
});

test('clocks that differ by more than the margin would be found', limit, async () => {
  let found = 0;
  for (let seed = 1; seed < 1_000 && found === 0; seed += 1) {
    const { violations } = await simulate(seed, { ...usual, drift: 0.3 });
    found += violations.filter((violation) => violation.includes('was granted while')).length;
  }
  expect(found).toBeGreaterThan(0);
});
