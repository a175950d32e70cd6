// @module-tag F21
import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseError, Fencepost, LockLostError } from 'fencepost';
import { afterAll, expect, test } from 'vitest';
import { advisoryLocks, queued, sessionsOfFencepost } from '../support/advisory.ts';
import { createDatabase } from '../support/database.ts';
import { type FaultyNetwork, type Link, startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());

const ttl = 2_000;
const key = 'a';
const half = { timeout: 30_000 };

const through = (connection: string) => new Fencepost({ connection, sessions: { ttl } });

function linkAbout(proxy: FaultyNetwork, name: string): Link {
  const link = [...proxy.links].find((candidate) => candidate.about(name));
  if (link === undefined) throw new Error(`no connection runs ${name}`);
  return link;
}

test(
  'on a frozen link a lock is doubtful, then lost by the heartbeat, before the server gives it to another',
  half,
  async () => {
    await using proxy = await startProxy(database.url);
    await using fencepost = through(proxy.url);
    await using other = through(database.url);
    const lock = await fencepost.advisory.acquire(key);
    const order: string[] = [];
    const lost = new Promise<void>((resolve) => {
      lock.signal.addEventListener('abort', () => {
        order.push('lost');
        resolve();
      });
    });
    const granted = other.advisory.acquire(key).then((next) => {
      order.push('granted');
      return next;
    });
    await queued(database);
    proxy.freeze();
    const frozen = performance.now();
    await until('doubtful', () => lock.state === 'doubtful');
    await lost;
    console.info(`lost ${(performance.now() - frozen).toFixed(0)} ms after the link froze, ttl ${ttl} ms`);
    expect(lock.signal.reason).toBeInstanceOf(LockLostError);
    expect(lock.signal.reason).toMatchObject({ reason: 'connection', key });
    expect(() => lock.assertHeld()).toThrow(LockLostError);
    await lock.release();
    await using next = await granted;
    expect(order).toEqual(['lost', 'granted']);
    expect(next.state).toBe('held');
    proxy.cut();
    proxy.thaw();
    await using again = await fencepost.advisory.acquire('b');
    expect(again.state).toBe('held');
  },
);

test('a call that waits on a frozen link ends, and what it was granted there is freed', {
  ...half,
  tags: ['F13'],
}, async () => {
  await using proxy = await startProxy(database.url);
  await using fencepost = through(proxy.url);
  await using other = through(database.url);
  const held = await other.advisory.acquire(key);
  const waiting = fencepost.advisory.acquire(key);
  const refused = expect(waiting).rejects.toThrow(DatabaseError);
  await queued(database);
  linkAbout(proxy, 'wait').freeze();
  await held.release();
  await refused;
  await using next = await other.advisory.acquire(key);
  expect(next.state).toBe('held');
});

test('a call that waits on a frozen link goes on waiting as long as the server does', half, async () => {
  await using proxy = await startProxy(database.url);
  await using fencepost = through(proxy.url);
  await using other = through(database.url);
  const held = await other.advisory.acquire(key);
  const waiting = fencepost.advisory.acquire(key);
  await queued(database);
  const link = linkAbout(proxy, 'wait');
  link.freeze();
  await delay(2 * ttl);
  link.thaw();
  await held.release();
  await using lock = await waiting;
  expect(lock.state).toBe('held');
});

test(
  'an abort of a wait on a frozen link rejects with its reason, and the server stops waiting',
  half,
  async () => {
    await using proxy = await startProxy(database.url);
    await using fencepost = through(proxy.url);
    await using other = through(database.url);
    await using _held = await other.advisory.acquire(key);
    const controller = new AbortController();
    const waiting = fencepost.advisory.acquire(key, { signal: controller.signal });
    const refused = expect(waiting).rejects.toThrow('enough');
    await queued(database);
    linkAbout(proxy, 'wait').freeze();
    controller.abort(new Error('enough'));
    await refused;
    expect(await advisoryLocks(database)).toHaveLength(1);
  },
);

test('a lock that was waited for longer than the ttl is held longer than the ttl', half, async () => {
  await using fencepost = through(database.url);
  await using other = through(database.url);
  const held = await other.advisory.acquire(key);
  const waiting = fencepost.advisory.acquire(key);
  await queued(database);
  await delay(1.2 * ttl);
  await held.release();
  await using lock = await waiting;
  await delay(1.5 * ttl);
  lock.assertHeld();
  expect(lock.signal.aborted).toBe(false);
});

test(
  'after its event loop was blocked a process knows that it lost, and its next lock is a whole one',
  half,
  async () => {
    await using fencepost = through(database.url);
    const lock = await fencepost.advisory.acquire(key);
    await using other = through(database.url);
    // Less than the ttl: the server has not noticed anything.
    const started = performance.now();
    while (performance.now() - started < 0.95 * ttl);
    expect(() => lock.assertHeld()).toThrow(LockLostError);
    expect(lock.signal.reason).toMatchObject({ reason: 'expired' });
    await using next = await fencepost.advisory.acquire(key);
    expect(await other.advisory.tryAcquire(key)).toBeNull();
    await delay(1.5 * ttl);
    next.assertHeld();
  },
);

test('an answer later than the ttl is no lock, and the server keeps none', {
  ...half,
  tags: ['F23'],
}, async () => {
  await using proxy = await startProxy(database.url);
  await using fencepost = through(proxy.url);
  await (await fencepost.advisory.acquire('b')).release();
  let tried = false;
  proxy.tap = ({ direction, about }) => {
    if (tried || direction !== 'request' || !about('try')) return 'pass';
    tried = true;
    return 'freeze';
  };
  await expect(fencepost.advisory.acquire(key)).rejects.toThrow(DatabaseError);
  proxy.thaw();
  await using other = through(database.url);
  await using lock = await other.advisory.acquire(key);
  expect(lock.state).toBe('held');
});

test('trust counts from when a statement was sent, however late its answer came', half, async () => {
  await using proxy = await startProxy(database.url);
  await using fencepost = through(proxy.url);
  await (await fencepost.advisory.acquire('b')).release();
  // A heartbeat has a third of the ttl for its answer.
  proxy.delay.answer = 0.2 * ttl;
  const sent = performance.now();
  await using lock = await fencepost.advisory.acquire(key);
  lock.assertHeld();
  // No timer runs meanwhile: a frozen process. The server would have ended the session by now.
  while (performance.now() - sent < ttl);
  expect(() => lock.assertHeld()).toThrow(LockLostError);
});

test('a session that holds nothing is closed after a while, and one that holds is not', half, async () => {
  await using fencepost = through(database.url);
  await using other = through(database.url);
  const lock = await other.advisory.acquire('b');
  await (await fencepost.advisory.acquire(key)).release();
  expect(await sessionsOfFencepost(database)).toHaveLength(2);
  await until('closed', async () => (await sessionsOfFencepost(database)).length === 1);
  lock.assertHeld();
  await lock.release();
  await until('closed', async () => (await sessionsOfFencepost(database)).length === 0);
  await using again = await fencepost.advisory.acquire(key);
  expect(again.state).toBe('held');
});

test('callers that meet an unreachable database share one attempt to connect', half, async () => {
  await using proxy = await startProxy(database.url);
  const connection = { connectionString: proxy.url, connectionTimeoutMillis: 300 };
  await using fencepost = new Fencepost({ connection });
  proxy.freeze();
  const calls = Array.from({ length: 20 }, (_, call) => fencepost.advisory.acquire(`key ${call}`));
  for (const outcome of await Promise.allSettled(calls)) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(DatabaseError) });
  }
  expect(proxy.opened).toBe(1);
  proxy.cut();
  proxy.thaw();
  await using lock = await fencepost.advisory.acquire(key);
  expect(lock.state).toBe('held');
});
