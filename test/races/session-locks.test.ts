import { Fencepost } from 'fencepost';
import { expect, test } from 'vitest';
import { queued } from '../support/advisory.ts';
import { createDatabase } from '../support/database.ts';
import { rounds, tell, within } from '../support/figures.ts';
import type { Findings } from '../support/script.ts';
import { gatherCrowd } from './session-crowd.ts';
import { raceGrants } from './session-grants.ts';
import { raceKills } from './session-kills.ts';
import { raceOrders } from './session-orders.ts';

/** On a database that Fencepost never touched. */
async function race<Numbers>(
  run: (url: string, numbers: Numbers) => Promise<Findings>,
  numbers: Numbers,
): Promise<Findings['figures']> {
  await using database = await createDatabase({ template: false });
  const { figures, violations } = await run(database.url, numbers);
  tell(figures);
  expect(violations).toEqual([]);
  return figures;
}

const long = within(120_000);

test('a timeout or an abort in the moment of the grant leaves no lock behind, and loses none', {
  ...long,
  tags: ['F11', 'F12', 'F13'],
}, async () => {
  const figures = await race(raceGrants, { timeouts: rounds(800), aborts: rounds(800), keys: 16 });
  expect(Number(figures.grants)).toBeGreaterThan(200);
});

test.each(['a timeout', 'an abort'])(
  'a wait for several keys that ends by %s at one of them leaves the others free',
  {
    tags: ['F11', 'F12'],
  },
  async (way) => {
    await using database = await createDatabase({ template: false });
    await using fencepost = new Fencepost({ connection: database.url });
    await using other = new Fencepost({ connection: database.url });
    const keys = [1n, 2n, 3n] as const;
    // In whichever order it takes them, one of these comes after a free one.
    for (const key of [1n, 3n]) {
      await using _held = await other.advisory.acquire(key);
      const controller = new AbortController();
      const waiting = fencepost.advisory.acquireAll(keys, {
        signal: controller.signal,
        ...(way === 'a timeout' ? { wait: '1s' } : {}),
      });
      const ended = waiting.then(
        () => 'granted',
        (error: Error) => error.message,
      );
      await queued(database);
      if (way === 'an abort') controller.abort(new Error('enough'));
      expect(await ended).toMatch(/enough|was not free within/);
      // The session that waited still has what it got before, if nobody has seen to it.
      for (const free of keys.filter((one) => one !== key)) {
        const taken = await other.advisory.tryAcquire(free);
        expect(taken?.state).toBe('held');
        await taken?.release();
      }
    }
  },
);

test('several keys taken together, in any order, make no circle; in that of others the victim holds nothing', {
  ...long,
  tags: ['F36'],
}, async () => {
  const figures = await race(raceOrders, { rounds: rounds(1_000), mixed: 200, callers: 12, keys: 6 });
  expect(Number(figures['deadlocks of plain clients'])).toBeGreaterThan(0);
});

test(
  'thousands of locks and a thousand waiting callers need few connections, and everybody gets through',
  long,
  async () => {
    await race(gatherCrowd, { held: 5_000, waiting: 1_000, max: 5 });
  },
);

test('when a session is ended, exactly the locks that it held are lost, and all works on', {
  ...long,
  tags: ['F09', 'F17'],
}, async () => {
  const figures = await race(raceKills, { rounds: rounds(40), workers: 16, keepers: 16 });
  expect(Number(figures['locks lost'])).toBeGreaterThan(40);
});
