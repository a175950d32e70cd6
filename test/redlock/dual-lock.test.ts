import { Fencepost } from 'fencepost';
import Redlock, { dualLock, ExecutionError, type OldLocks } from 'fencepost/redlock';
import { afterAll, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { openPg } from '../support/transactions.ts';

// The old locks are ours here too, in another database: what matters is which is taken, and when.
const [past, present] = await Promise.all([createDatabase(), createDatabase()]);
const clients = [past, present].map(({ url }) => new Fencepost({ connection: url }));
const [before, after] = clients.map((client) => new Redlock([client], { retryCount: 0 })) as [
  Redlock,
  Redlock,
];
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await Promise.all([past[Symbol.asyncDispose](), present[Symbol.asyncDispose]()]);
});
const free = async (redlock: Redlock): Promise<boolean> =>
  redlock.acquire(['a'], 1_000).then(
    (lock) => lock.release().then(() => true),
    () => false,
  );

test('both are held, and given back together', async () => {
  const redlock = dualLock({ from: before, to: after });
  let lock = await redlock.acquire(['a'], 5_000);
  expect([await free(before), await free(after)]).toEqual([false, false]);
  const { expiration } = lock;
  lock = await redlock.extend(lock, 10_000);
  expect(lock.expiration).toBeGreaterThan(expiration);
  expect([lock.resources, typeof lock.token]).toEqual([['a'], 'bigint']);
  const client = await openPg(present.pool, 'read committed');
  await lock.guard(client.trx);
  await client.commit();
  await redlock.release(lock);
  expect([await free(before), await free(after)]).toEqual([true, true]);
});

test('the old one is given back when the new one is not had, and the event tells', async () => {
  const redlock = dualLock({ from: before, to: after });
  const refused: unknown[] = [];
  redlock.on('refused', ({ resources }) => refused.push(resources));
  const held = await after.acquire(['a'], 5_000);
  await expect(redlock.acquire(['a'], 5_000)).rejects.toThrow(ExecutionError);
  expect(refused).toEqual([['a']]);
  expect(await free(before)).toBe(true);
  await held.release();

  const older = await before.acquire(['a'], 5_000);
  await expect(redlock.acquire(['a'], 5_000)).rejects.toThrow(ExecutionError);
  expect(refused).toHaveLength(1);
  expect(await free(after)).toBe(true);
  await older.release();
});

test('an extension that fails half way can be made again', async () => {
  await using proxy = await startProxy(present.url);
  await using client = new Fencepost({ connection: proxy.url });
  const redlock = dualLock({ from: before, to: new Redlock([client], { retryCount: 0 }) });
  let lock = await redlock.acquire(['a'], 5_000);
  proxy.tap = ({ about }) => (about('lease_renew') ? 'cut' : 'pass');
  await expect(lock.extend(5_000)).rejects.toMatchObject({ reason: 'unreachable' });
  proxy.tap = () => 'pass';
  lock = await lock.extend(5_000);
  await lock.release();
  expect([await free(before), await free(after)]).toEqual([true, true]);
});

test('using extends both, and a library of version 4 will do', async () => {
  const version4: OldLocks = { acquire: (resources, duration) => before.lock(resources, duration) };
  const redlock = dualLock({ from: version4, to: after });
  const seen = await redlock.using(['a'], 400, { automaticExtensionThreshold: 200 }, async (signal) => {
    await new Promise((resolve) => setTimeout(resolve, 700));
    return { aborted: signal.aborted, free: [await free(before), await free(after)] };
  });
  expect(seen).toEqual({ aborted: false, free: [false, false] });
  expect([await free(before), await free(after)]).toEqual([true, true]);
});

test('wrong arguments are refused by name', () => {
  expect(() => dualLock({ from: before } as never)).toThrow('options.to');
  expect(() => dualLock({ from: {}, to: after } as never)).toThrow('options.from');
});
