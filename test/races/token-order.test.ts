import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { rounds, tell, within } from '../support/figures.ts';
import { raceForTokens } from './token-order.ts';

test('the tokens of a lease rise in the order of its grants', {
  ...within(60_000),
  tags: ['F25'],
}, async () => {
  await using database = await createDatabase();
  const { figures, violations } = await raceForTokens(database.url, { rounds: rounds(3_000), sessions: 8 });
  tell(figures);
  expect(violations).toEqual([]);
});
