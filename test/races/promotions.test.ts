// @module-tag F30
import { expect, test } from 'vitest';
import { rounds, tell, within } from '../support/figures.ts';
import { plant } from '../support/plant.ts';
import { raceWithPromotions } from './promotions.ts';

const limit = within(90_000);

test('tokens rise and no old holder writes while lagging standbys are promoted', limit, async () => {
  const { figures, violations } = await raceWithPromotions({
    promotions: rounds(2),
    names: 4,
    clients: 3,
  });
  tell(figures);
  expect(violations).toEqual([]);
  expect(figures.promotions).toBe(rounds(2));
  expect(Number(figures['grants lost'])).toBeGreaterThan(0);
  expect(Number(figures['old holders refused'])).toBeGreaterThan(0);
});

test('tokens that do not know of the timeline would be found', limit, async () => {
  const { violations } = await raceWithPromotions({ promotions: 1, names: 4, clients: 3 }, (query) =>
    plant(query, 'next_token', ['timeline() + v_state', '1 + v_state']),
  );
  expect(violations).not.toEqual([]);
});
