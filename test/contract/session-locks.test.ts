import { ArgumentError, Fencepost, LockTimeoutError, StateError } from 'fencepost';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { keyHash } from '../../src/core/key.ts';
import { advisoryLocks, queued, sessionsOfFencepost } from '../support/advisory.ts';
import { connect } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { openPg } from '../support/transactions.ts';

// Nothing of Fencepost is installed in it.
const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());

beforeEach(async () => {
  expect(await advisoryLocks(database)).toEqual([]);
});

const open = (connection = database.url) => new Fencepost({ connection });

test('a lock excludes other processes and other callers of its own until it is released', {
  tags: ['F42'],
}, async () => {
  await using one = open();
  await using other = open();
  const lock = await one.advisory.acquire('a');
  expect([lock.key, lock.mode, lock.state]).toEqual(['a', 'exclusive', 'held']);
  expect(await other.advisory.tryAcquire('a')).toBeNull();
  expect(await one.advisory.tryAcquire('a')).toBeNull();
  expect(await advisoryLocks(database)).toMatchObject([{ key: String(keyHash('key', 'a')), granted: true }]);
  await lock.release();
  expect([lock.state, lock.signal.aborted]).toEqual(['released', false]);
  await using next = await other.advisory.acquire('a');
  expect(next.state).toBe('held');
  expect(await one.advisory.tryAcquire('a')).toBeNull();
});

const modes = ['shared', 'exclusive'] as const;

test.each(modes.flatMap((first) => modes.map((second) => [first, second] as const)))(
  'of a %s and a %s lock of one key both are held only when both are shared, within a process and across',
  async (first, second) => {
    await using one = open();
    await using other = open();
    await using held = await one.advisory.acquire('a', { mode: first });
    expect(held.mode).toBe(first);
    const compatible = first === 'shared' && second === 'shared';
    for (const asking of [one, other]) {
      const lock = await asking.advisory.tryAcquire('a', { mode: second });
      expect(lock !== null).toBe(compatible);
      await lock?.release();
    }
  },
);

test('a shared lock is held on the server until the last of its holders in a process has released it', async () => {
  await using one = open();
  await using other = open();
  const locks = await Promise.all([1, 2, 3].map(() => one.advisory.acquire('a', { mode: 'shared' })));
  for (const lock of locks) {
    expect(await other.advisory.tryAcquire('a')).toBeNull();
    await lock.release();
  }
  await using lock = await other.advisory.acquire('a', { wait: 0 });
  expect(lock.state).toBe('held');
});

test('callers of one process get a key in the order of their calls', async () => {
  await using one = open();
  await using other = open();
  const held = await other.advisory.acquire('a');
  const order: number[] = [];
  const calls = Array.from({ length: 50 }, async (_, call) => {
    await using _lock = await one.advisory.acquire('a');
    order.push(call);
  });
  await queued(database);
  await held.release();
  await Promise.all(calls);
  expect(order).toEqual(order.toSorted((a, b) => a - b));
});

test('a shared caller does not overtake an exclusive one that came before it in the same process', async () => {
  await using fencepost = open();
  const first = await fencepost.advisory.acquire('a', { mode: 'shared' });
  const second = fencepost.advisory.acquire('a');
  expect(await fencepost.advisory.tryAcquire('a', { mode: 'shared' })).toBeNull();
  const third = fencepost.advisory.acquire('a', { mode: 'shared' });
  await first.release();
  await (await second).release();
  await (await third).release();
});

test('releasing again does nothing, and never touches the next holder', async () => {
  await using fencepost = open();
  const first = await fencepost.advisory.acquire('a');
  await Promise.all([first.release(), first.release()]);
  await using second = await fencepost.advisory.acquire('a');
  await first.release();
  await first[Symbol.asyncDispose]();
  expect(await advisoryLocks(database)).toHaveLength(1);
  expect(() => first.assertHeld()).toThrow(StateError);
  second.assertHeld();
});

test('a wait that runs out says which key and how long, and leaves nothing held or waiting', async () => {
  await using one = open();
  await using other = open();
  await using held = await one.advisory.acquire(['invoice', 7]);
  // On the server, and in the own process.
  for (const asking of [other, one]) {
    const refused: unknown = await asking.advisory
      .acquire(['invoice', 7], { wait: 30 })
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(LockTimeoutError);
    expect(refused).toMatchObject({ code: 'LOCK_TIMEOUT', key: held.key, retriable: true });
    expect((refused as LockTimeoutError).waited).toBeGreaterThanOrEqual(30);
    expect(await advisoryLocks(database)).toHaveLength(1);
  }
  expect(await other.advisory.tryAcquire(['invoice', 7], { wait: 30 })).toBeNull();
  await expect(other.advisory.acquire(['invoice', 7], { wait: 0 })).rejects.toThrow(LockTimeoutError);
});

test('a wait longer than any timer is a wait', async () => {
  await using one = open();
  await using other = open();
  const held = await one.advisory.acquire('a');
  const calls = [other, one].map((asking) => asking.advisory.acquire('a', { wait: '30d' }));
  await queued(database);
  await held.release();
  for (const call of calls) await (await call).release();
});

test('a caller without a connection to wait on looks once more when its wait is over', async () => {
  await using proxy = await startProxy(database.url);
  await using one = open();
  await using polling = new Fencepost({ connection: proxy.url, sessions: { max: 1 } });
  await using _held = await one.advisory.acquire('a');
  let lastAnswer = 0;
  proxy.tap = ({ direction, about }) => {
    if (direction === 'answer' && about('try')) lastAnswer = performance.now();
    return 'pass';
  };
  for (const wait of [50, 100, 150]) {
    const started = performance.now();
    expect(await polling.advisory.tryAcquire('a', { wait })).toBeNull();
    // Timers count whole milliseconds.
    expect(Math.ceil(lastAnswer - started)).toBeGreaterThanOrEqual(wait);
  }
});

test('an abort rejects with the reason of the signal, and leaves nothing held or waiting', async () => {
  await using one = open();
  await using other = open();
  await using _held = await one.advisory.acquire('a');
  const reason = new Error('enough');
  await expect(other.advisory.acquire('a', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const controller = new AbortController();
  const { signal } = controller;
  const calls = [
    other.advisory.acquire('a', { signal }),
    other.advisory.tryAcquire('a', { signal, wait: '1m' }),
    one.advisory.acquire('a', { signal }),
    one.advisory.acquireAll(['b', 'a'], { signal }),
  ];
  await queued(database);
  controller.abort(reason);
  for (const outcome of await Promise.allSettled(calls)) {
    expect(outcome).toEqual({ status: 'rejected', reason });
  }
  expect(await advisoryLocks(database)).toHaveLength(1);
  expect(await other.advisory.tryAcquire('b', { signal: new AbortController().signal })).not.toBeNull();
});

test('an abort between two keys ends the call', async () => {
  await using fencepost = open();
  const [low, high] = [1n, 2n];
  const first = await fencepost.advisory.acquire(low);
  await using _second = await fencepost.advisory.acquire(high);
  const controller = new AbortController();
  const both = fencepost.advisory.acquireAll([low, high], { signal: controller.signal });
  const before = fencepost.advisory.acquireAll([low, high], { wait: 0 });
  await expect(before).rejects.toThrow(LockTimeoutError);
  await first.release();
  controller.abort(new Error('enough'));
  await expect(both).rejects.toThrow('enough');
  await using again = await fencepost.advisory.acquire(low, { wait: 0 });
  expect(again.state).toBe('held');
});

test('`using` gives the result of the work, and releases when it throws', async () => {
  await using fencepost = open();
  const result = await fencepost.advisory.using('a', async (lock) => {
    lock.assertHeld();
    return 7;
  });
  expect(result).toBe(7);
  const failing = fencepost.advisory.using('a', { mode: 'shared' }, (lock) => {
    throw new Error(`in ${lock.mode}`);
  });
  await expect(failing).rejects.toThrow('in shared');
  expect(await advisoryLocks(database)).toEqual([]);
});

test('a string, a list of that string, and a bigint of the same number are one lock, also for SQL', async () => {
  await using fencepost = open();
  const number = keyHash('key', 'a');
  const spellings = ['a', ['a'], number] as const;
  for (const spelling of spellings) {
    await using _lock = await fencepost.advisory.acquire(spelling);
    for (const other of spellings) expect(await fencepost.advisory.tryAcquire(other)).toBeNull();
    const [row] = await database.query('select pg_try_advisory_lock($1) as taken', [number]);
    expect(row).toEqual({ taken: false });
  }
  await using _numbers = await fencepost.advisory.acquire(['invoice', 7]);
  expect(await fencepost.advisory.tryAcquire(['invoice', '7'])).toBeNull();
  await using other = await fencepost.advisory.acquire('invoice7', { wait: 0 });
  expect(other.state).toBe('held');
});

test('names with one number exclude each other within a process, also as keys of one call', {
  tags: ['F42'],
}, async () => {
  await using fencepost = open();
  const twin = keyHash('key', 'a');
  await using both = await fencepost.advisory.acquireAll(['a', twin]);
  expect(await advisoryLocks(database)).toHaveLength(1);
  await both.release();
  let inside = 0;
  const visit = async (key: string | bigint): Promise<void> => {
    await using _lock = await fencepost.advisory.acquire(key);
    inside += 1;
    expect(inside).toBe(1);
    await new Promise(setImmediate);
    inside -= 1;
  };
  await Promise.all(Array.from({ length: 200 }, (_, call) => visit(call % 2 === 0 ? 'a' : twin)));
});

test('namespaces keep keys apart, but not those that are numbers', async () => {
  await using one = new Fencepost({ connection: database.url, namespace: 'one' });
  await using other = new Fencepost({ connection: database.url, namespace: 'other' });
  await using _text = await one.advisory.acquire('a');
  await using _number = await one.advisory.acquire(5n);
  await using lock = await other.advisory.tryAcquire('a');
  expect(lock?.state).toBe('held');
  expect(await other.advisory.tryAcquire(5n)).toBeNull();
});

test('a session lock and a transaction lock of one key exclude each other, in both directions', async () => {
  await using fencepost = open();
  const lock = await fencepost.advisory.acquire('a');
  const holder = await openPg(database.pool, 'read committed');
  expect(await fencepost.transaction(holder.trx).tryAcquire('a')).toBe(false);
  await lock.release();
  await fencepost.transaction(holder.trx).acquire('a');
  expect(await fencepost.advisory.tryAcquire('a')).toBeNull();
  const waiting = fencepost.advisory.acquire('a');
  await queued(database);
  await holder.commit();
  await (await waiting).release();
});

test('a plain client that waits is served before a Fencepost that comes later', async () => {
  await using fencepost = open();
  await using other = open();
  await using clients = await connect(database, 1);
  const held = await fencepost.advisory.acquire(9n);
  const order: string[] = [];
  const plain = clients[0].query('select pg_advisory_lock(9)').then(async () => {
    order.push('plain');
    await clients[0].query('select pg_advisory_unlock(9)');
  });
  await queued(database);
  const later = other.advisory.acquire(9n).then(async (lock) => {
    order.push('fencepost');
    await lock.release();
  });
  await queued(database, 2);
  await held.release();
  await Promise.all([plain, later]);
  expect(order).toEqual(['plain', 'fencepost']);
});

test('a wrong argument is refused by name, before anything is sent', async () => {
  await using fencepost = open('postgres://127.0.0.1:1/nowhere');
  const { advisory } = fencepost;
  const cases: [Promise<unknown>, string][] = [
    [advisory.acquire('a', { wiat: '1s' } as never), "unknown option 'wiat'; did you mean 'wait'?"],
    [advisory.acquire('a', { mode: 'both' as never }), "options.mode: expected 'exclusive' or 'shared'"],
    [advisory.tryAcquire('a', { wait: -1 }), 'options.wait'],
    [advisory.tryAcquire('a', { signal: {} as never }), 'options.signal: expected an AbortSignal'],
    [advisory.acquire('a\0'), 'key: expected a string without NUL'],
    [advisory.acquire(2n ** 63n), 'key: expected a bigint that fits into 64 bits'],
    [advisory.acquireAll([]), 'keys: expected an array of at least one key'],
    [advisory.acquireAll('a' as never), 'keys: expected an array of at least one key'],
    [advisory.acquireAll(['a', 1.5 as never]), 'keys[1]: expected a string, a bigint, or an array'],
  ];
  for (const [call, message] of cases) {
    await expect(call).rejects.toThrow(ArgumentError);
    await expect(call).rejects.toThrow(message);
  }
});

test('nothing is taken from the pool that was given, nor changed in it', async () => {
  const { pool } = database;
  const counts = () => [pool.totalCount, pool.idleCount, pool.waitingCount];
  const before = counts();
  await using fencepost = new Fencepost({ connection: pool });
  await using other = open();
  const held = await other.advisory.acquire('a');
  const waiting = fencepost.advisory.acquire('a');
  await using _lock = await fencepost.advisory.acquire('b');
  expect(counts()).toEqual(before);
  await queued(database);
  await held.release();
  await (await waiting).release();
  expect(counts()).toEqual(before);
  expect((await sessionsOfFencepost(database)).length).toBeLessThanOrEqual(1 + 5);
});
