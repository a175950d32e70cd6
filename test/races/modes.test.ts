// @module-tag F42
import { Fencepost } from 'fencepost';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { rounds, tell, within } from '../support/figures.ts';
import { plant } from '../support/plant.ts';
import { raceModes } from './modes.ts';

const long = within(120_000);
const few = { rounds: 1_500, clients: 4, callers: 16, seed: 0 };

test('whatever they ask for, clients never hold together what may not be held together', long, async () => {
  await using database = await createDatabase();
  const { figures, violations } = await raceModes(database.url, { ...few, rounds: rounds(few.rounds) });
  tell(figures);
  expect(violations, JSON.stringify(figures)).toEqual([]);
  expect(
    Math.min(Number(figures.exclusive), Number(figures.shared), Number(figures.tenants)),
  ).toBeGreaterThan(20);
  // A client whose heartbeats came too late, on a busy machine, has left its places in queues behind.
  await using fencepost = new Fencepost({ connection: database.url });
  await fencepost.leases.sweep({ olderThan: 0 });
  expect(await database.query('select name, holder_id from fencepost.ticket')).toEqual([]);
});

test.each([
  {
    bug: 'a writer does not look for readers',
    name: 'lease_pick',
    from: 'if v_slots is null then',
    to: 'if true then',
  },
  {
    bug: 'readers do not look for a writer',
    name: 'lease_pick',
    from: 'if v_over is null or',
    to: 'if false and',
  },
  {
    bug: 'the total is not kept',
    name: 'lease_take',
    from: "lease_pick('', p_name, p_total, false, v_got)",
    to: "lease_pick('', p_name, 10000, false, v_got)",
  },
  {
    bug: 'a sweep takes the row that tells of the others',
    name: 'lease_sweep',
    from: 'and not (l.crowded and exists',
    to: 'and not (false and exists',
  },
])('that $bug would be found', long, async ({ name, from, to }) => {
  await using database = await createDatabase();
  await plant(database.query, name, [from, to]);
  // It ends with the first violation, which comes after a few hundred.
  const { violations } = await raceModes(database.url, { ...few, rounds: 15_000 });
  expect(violations).not.toEqual([]);
});
