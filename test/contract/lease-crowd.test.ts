import { Fencepost } from 'fencepost';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

/** Asks for so many leases, a portion at a time, as a program does that has other things to do as well. */
async function acquireMany(fencepost: Fencepost, count: number): Promise<void> {
  for (let done = 0; done < count; done += 1_000) {
    await Promise.all(
      Array.from({ length: 1_000 }, (_, n) =>
        fencepost.leases.acquire({ tenant: `t${n % 100}`, name: ['crowd', done + n] }, { ttl: '3s' }),
      ),
    );
  }
}

/**
 * Does it, and says for how long nothing else could run meanwhile, and how much of that this thread worked: beside other
 * tests it waits for a processor as well.
 */
async function watched<Outcome>(what: string, work: () => Promise<Outcome>): Promise<Outcome> {
  const longest = { turn: 0, worked: 0 };
  let last = { time: performance.now(), worked: workedUntilNow() };
  const look = (): void => {
    const now = { time: performance.now(), worked: workedUntilNow() };
    longest.turn = Math.max(longest.turn, now.time - last.time);
    longest.worked = Math.max(longest.worked, now.worked - last.worked);
    last = now;
  };
  const looking = setInterval(look, 1);
  const outcome = await work();
  look();
  clearInterval(looking);
  const [turn, worked] = [longest.turn, longest.worked].map((time) => `${time.toFixed(0)} ms`);
  console.log(`${what}: longest turn of the event loop ${turn}; most work in one ${worked}`);
  return outcome;
}

/** Processor time of this thread, in milliseconds. */
function workedUntilNow(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

test('a hundred thousand leases live on the heartbeat of one, are listed and released together', {
  timeout: 120_000,
}, async () => {
  const count = 100_000;
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  const fencepost = new Fencepost({ connection: proxy.url });
  await watched('acquiring', () => acquireMany(fencepost, count));
  const requests: string[] = [];
  const beats = (): number => requests.filter((name) => name === 'holder_beat').length;
  proxy.tap = ({ direction, about }) => {
    if (direction === 'request') requests.push(about('holder_beat') ? 'holder_beat' : 'other');
    return 'pass';
  };
  await until('two heartbeats', () => beats() >= 2);
  expect(requests.filter((name) => name === 'other')).toEqual([]);
  proxy.tap = () => 'pass';

  await using other = new Fencepost({ connection: database.url });
  const holders = await other.inspect.holders();
  expect(holders).toMatchObject([{ alive: true, ttl: 3_000, held: count }]);
  expect(holders[0]?.beatAt.getTime()).toBeGreaterThan(holders[0]?.openedAt.getTime() ?? Infinity);
  const listed = await watched('listing', () => other.inspect.leases());
  expect(listed).toHaveLength(count);
  expect(new Set(listed.map(({ tenant, name }) => `${tenant} ${name}`)).size).toBe(count);
  expect(listed[0]).toMatchObject({ tenant: 't0', slot: 0, mode: 'exclusive', holder: holders[0]?.id });

  await watched('closing', () => fencepost.close());
  expect(await other.inspect.leases()).toEqual([]);
  expect(await other.inspect.holders()).toEqual([]);
});
