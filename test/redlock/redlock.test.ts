import { Fencepost, StaleTokenError } from 'fencepost';
import Redlock, { ExecutionError, type Lock, LockError, ResourceLockedError } from 'fencepost/redlock';
import { afterAll, afterEach, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { openPg } from '../support/transactions.ts';
import { until } from '../support/until.ts';

const databases = await Promise.all([createDatabase(), createDatabase(), createDatabase()]);
const [database] = databases;
const clients = databases.map(({ url }) => new Fencepost({ connection: url }));
const strangers = databases.map(({ url }) => new Fencepost({ connection: url }));
afterAll(async () => {
  await Promise.all([...clients, ...strangers].map((client) => client.close()));
  await Promise.all(databases.map((one) => one[Symbol.asyncDispose]()));
});

const once = { retryCount: 0 };
const single = new Redlock(clients.slice(0, 1), once);
const other = new Redlock(strangers.slice(0, 1), once);
const several = new Redlock(clients, once);
const failed = async (work: Promise<unknown>): Promise<ExecutionError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof ExecutionError) return error;
  throw new Error(`expected an ExecutionError, got ${error}`);
};

const held = async (): Promise<number> =>
  (await Promise.all(strangers.map((client) => client.inspect.leases()))).flat().length;
afterEach(async () => {
  await until('nothing is left held', async () => (await held()) === 0);
});

test('the error says whether it is locked, down or lost', async () => {
  const lock = await single.acquire(['a', 'b'], 10_000);
  const locked = await failed(
    other.acquire(['b', 'c'], 1_000, { retryCount: 1, retryDelay: 1, retryJitter: 0 }),
  );
  expect(locked).toMatchObject({
    name: 'ExecutionError',
    code: 'EXECUTION',
    reason: 'locked',
    retriable: true,
  });
  expect(locked.message).toBe(
    'could not lock b, c: held by somebody else on 1 of 1 server, after 2 attempts',
  );
  expect(locked.cause).toBeInstanceOf(ResourceLockedError);

  await strangers[0]?.leases.revoke('a');
  await until('lost', () => failed(lock.extend(10_000)).then(({ reason }) => reason === 'lost'));
  expect(await failed(lock.release())).toMatchObject({ reason: 'lost', retriable: false });

  await using away = new Fencepost({ connection: 'postgres://127.0.0.1:1/nowhere' });
  const down = await failed(new Redlock([away], once).acquire(['a'], 1_000));
  expect(down).toMatchObject({ reason: 'unreachable', cause: { code: 'DATABASE' } });
});

test('the release of a lost lock fails at once, after one attempt', async () => {
  const patient = new Redlock(clients.slice(0, 1), { retryCount: 1_000_000, retryDelay: 1_000_000 });
  const soon = { retryCount: -1, retryDelay: 10, retryJitter: 0 };
  const lock = await patient.acquire(['a'], 200, soon);
  await until('expired', async () => (await held()) === 0);
  expect((await failed(lock.release())).attempts).toHaveLength(1);
  expect((await failed(lock.extend(100))).attempts).toHaveLength(0);
});

test('a lock counts from the attempt that got it, not from the first', async () => {
  const first = await other.acquire(['a'], 600);
  const lock = await single.acquire(['a'], 600, { retryCount: -1, retryDelay: 50 });
  expect(first.expiration).toBeLessThan(Date.now());
  // Counted from the beginning of the call it would have been over before it began.
  expect(lock.expiration).toBeGreaterThan(first.expiration + 300);
  await lock.release();
});

test('an extension counts from the attempt that succeeded', async () => {
  await using proxy = await startProxy(database.url);
  await using client = new Fencepost({ connection: proxy.url });
  const redlock = new Redlock([client], { retryCount: 5, retryDelay: 300, retryJitter: 0 });
  const lock = await redlock.acquire(['a'], 5_000);
  const began = Date.now();
  let cuts = 0;
  proxy.tap = ({ about }) => {
    if (!about('lease_renew') || cuts === 1) return 'pass';
    cuts += 1;
    return 'cut';
  };
  const extended = await lock.extend(2_000);
  expect(extended.attempts).toHaveLength(2);
  expect(extended.expiration).toBeGreaterThan(began + 300 + 1_900);
  expect(lock.expiration).toBe(0);
  await extended.release();
});

test('closing a client releases no lock, as with Redis, and quit neither', async () => {
  const kept = new Redlock([new Fencepost({ connection: database.url })], once);
  const lock = await kept.acquire(['a', 'b'], 3_000);
  await kept.quit();
  expect(await failed(other.acquire(['b'], 1_000))).toMatchObject({ reason: 'locked' });
  expect(lock.expiration).toBeGreaterThan(0);
  const next = await other.acquire(['a', 'b'], 1_000, { retryCount: -1, retryDelay: 50 });
  expect(lock.expiration).toBeLessThan(Date.now());
  expect(next.token > lock.token).toBe(true);
  await next.release();
});

test('of those who want some of the same resources, one gets all', async () => {
  const wishes = [
    ['a', 'b'],
    ['b', 'a'],
    ['b', 'c'],
    ['c', 'b', 'a'],
  ];
  const outcomes = await Promise.allSettled(
    wishes.map((resources, index) => (index % 2 === 0 ? single : other).acquire(resources, 5_000)),
  );
  const locks = outcomes.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  expect(locks).toHaveLength(1);
  await locks[0]?.release();
});

test('tokens increase, whichever resource two locks share, and a late write is refused', async () => {
  const tokens: bigint[] = [];
  for (const resources of [['b', 'c'], ['a', 'b'], ['a']]) {
    const lock = await single.acquire(resources, 1_000);
    tokens.push(lock.token);
    await lock.release();
  }
  expect(tokens.toSorted((one, two) => (one < two ? -1 : 1))).toEqual(tokens);

  const late = await single.acquire(['a'], 1_000);
  await until('expired', async () => (await held()) === 0);
  const next = await other.acquire(['a'], 5_000);
  const transaction = await openPg(database.pool, 'read committed');
  await expect(late.guard(transaction.trx)).rejects.toThrow(StaleTokenError);
  await transaction.rollback();
  const good = await openPg(database.pool, 'read committed');
  await next.guard(good.trx);
  await good.commit();
  await next.release();
});

test('what is released can be locked again at once, though some server has not confirmed it', async () => {
  for (let round = 0; round < 30; round += 1) {
    const lock = await several.acquire(['a', 'b'], 5_000);
    await lock.release();
  }
});

test('a majority is enough, and less is nothing', async () => {
  const [first, second] = strangers;
  const one = await first?.leases.acquire('a');
  const lock = await several.acquire(['a'], 5_000);
  const [stats] = await Promise.all(lock.attempts);
  expect([stats?.membershipSize, stats?.quorumSize, stats?.votesFor.size]).toEqual([3, 2, 2]);
  expect(() => lock.token).toThrow('several servers');
  await lock.release();

  const two = await second?.leases.acquire('a');
  expect((await failed(several.acquire(['a', 'z'], 5_000))).reason).toBe('locked');
  expect(await held()).toBe(2);
  await Promise.all([one?.release(), two?.release()]);
});

test('a server that is frozen holds nobody up, and two of them are too many', async () => {
  await using stack = new AsyncDisposableStack();
  const proxies = await Promise.all(databases.map(({ url }) => startProxy(url)));
  for (const proxy of proxies) stack.use(proxy);
  const mine = proxies.map(({ url }) => stack.use(new Fencepost({ connection: url })));
  const redlock = new Redlock(mine, once);
  await (await redlock.acquire(['a'], 2_000)).release();
  proxies[0]?.freeze();
  let lock: Lock = await redlock.acquire(['a'], 2_000);
  lock = await lock.extend(2_000);
  await lock.release();
  lock = await redlock.acquire(['a'], 8_000);
  proxies[1]?.freeze();
  const { reason, message } = await failed(redlock.acquire(['b'], 1_000));
  expect(reason).toBe('unreachable');
  expect(message).toContain('no answer from 2 of 3 servers');
  expect((await failed(lock.extend(8_000))).reason).toBe('unreachable');
  // What a frozen server granted too late is given back when it is there again.
  for (const proxy of proxies) proxy.thaw();
  await lock.release().catch(() => {});
  await until('given back', async () => (await held()) === 0, 15_000);
});

test('a guard on one of several servers fences the data there', async () => {
  const [first] = strangers;
  const stranger = await first?.leases.acquire('a');
  const lock = await several.acquire(['a'], 5_000);
  const transaction = await openPg(databases[1].pool, 'read committed');
  await expect(lock.guard(transaction.trx)).rejects.toThrow('say on which of the clients');
  await expect(lock.guard(transaction.trx, clients[0])).rejects.toThrow('nothing is held there');
  await lock.guard(transaction.trx, clients[1]);
  await transaction.rollback();
  await Promise.all([lock.release(), stranger?.release()]);
});

test('using aborts its signal when the lock cannot be extended, and the error of the routine comes out', async () => {
  const redlock = new Redlock(clients.slice(0, 1), { ...once, automaticExtensionThreshold: 200 });
  const work = redlock.using(['a'], 400, async (signal) => {
    await strangers[0]?.leases.revoke('a');
    await until('aborted', () => signal.aborted);
    expect(signal.reason).toBe(signal.error);
    throw signal.error;
  });
  expect((await failed(work)).reason).toBe('lost');
  const broken = redlock.using(['a'], 400, async () => {
    await strangers[0]?.leases.revoke('a');
    throw new RangeError('mine');
  });
  await expect(broken).rejects.toThrow('mine');
  await expect(redlock.using(['a'], 250, async () => {})).rejects.toThrow('at least 100 ms more');
});

test('version 4 fails with a LockError that says why', async () => {
  const lock = await single.lock('a', 5_000);
  const error = await other.lock('a', 5_000).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(LockError);
  expect(error).toMatchObject({ reason: 'locked', attempts: 1 });
  expect(Redlock.LockError).toBe(LockError);
  expect(typeof lock.token).toBe('bigint');
  const outcome = await new Promise((resolve) => lock.unlock((...said) => resolve(said)));
  expect(outcome).toEqual([null, undefined]);
  await lock.unlock();
});

test('events tell of each vote against, and of those that were no answer by the name of version 4', async () => {
  await using away = new Fencepost({ connection: 'postgres://127.0.0.1:1/nowhere' });
  const redlock = new Redlock([...clients.slice(0, 2), away], once);
  const heard: string[] = [];
  redlock.on('error', (error) => heard.push(`error ${error.code}`));
  redlock.on('clientError', (error) => heard.push(`clientError ${error.code}`));
  const lock = await redlock.acquire(['a'], 5_000);
  await Promise.all(lock.attempts);
  expect(heard).toEqual(['error DATABASE', 'clientError DATABASE']);
  await lock.release();
});

test('wrong arguments are refused by name', async () => {
  const argument = (name: string) => ({ code: 'ARGUMENT', argument: name });
  expect(() => new Redlock([])).toThrow('clients');
  expect(() => new Redlock([{} as Fencepost])).toThrow('clients');
  expect(() => new Redlock(clients, { retrycount: 1 } as object)).toThrow("did you mean 'retryCount'?");
  expect(() => new Redlock(clients, { driftFactor: 1 })).toThrow('settings.driftFactor');
  await expect(single.acquire([], 100)).rejects.toMatchObject(argument('resources'));
  await expect(single.acquire(['a'], 0.5)).rejects.toMatchObject(argument('duration'));
  await expect(single.acquire(['a'], 100, { retryDelay: -1 })).rejects.toMatchObject(
    argument('settings.retryDelay'),
  );
});
