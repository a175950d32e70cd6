import { Fencepost, StateError } from 'fencepost';
import { afterAll, expect, test } from 'vitest';
import { advisoryLocks, queued, sessionsOfFencepost } from '../support/advisory.ts';
import { createDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());

const noSessions = () =>
  until('no session of Fencepost', async () => (await sessionsOfFencepost(database)).length === 0);

test('close releases what is held, and leaves no connection', async () => {
  const fencepost = new Fencepost({ connection: database.url });
  const locks = await Promise.all(['a', 'b', 'c'].map((key) => fencepost.advisory.acquire(key)));
  expect(await advisoryLocks(database)).toHaveLength(3);
  await Promise.all([fencepost.close(), fencepost.close()]);
  expect(await advisoryLocks(database)).toEqual([]);
  expect(locks.map(({ state, signal }) => [state, signal.aborted])).toEqual(
    locks.map(() => ['released', false]),
  );
  await locks[0]?.release();
  await noSessions();
});

test('calls after close are refused', async () => {
  const fencepost = new Fencepost({ connection: database.url });
  await fencepost.close();
  const { advisory } = fencepost;
  for (const call of [advisory.acquire('a'), advisory.tryAcquire('a'), advisory.acquireAll(['a', 'b'])]) {
    await expect(call).rejects.toThrow(StateError);
  }
});

test('close ends the calls that wait, wherever they wait, and leaves nothing of them on the server', async () => {
  await using other = new Fencepost({
    connection: { connectionString: database.url, application_name: 'other' },
  });
  await using _held = await other.advisory.acquireAll(['a', 'b', 'c']);
  const fencepost = new Fencepost({ connection: database.url, sessions: { max: 2 } });
  const { signal } = new AbortController();
  const calls = [
    // In the server's queue, trying again and again, for a turn.
    fencepost.advisory.acquire('a', { signal }),
    fencepost.advisory.acquire('b', { wait: '1m' }),
    fencepost.advisory.acquire('b'),
    fencepost.advisory.tryAcquire('a', { wait: '1m', signal }),
    fencepost.advisory.acquireAll(['c', 'd']),
  ];
  const outcomes = Promise.allSettled(calls);
  await queued(database);
  await fencepost.close();
  for (const outcome of await outcomes) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(StateError) });
  }
  const left = await advisoryLocks(database);
  expect(left.map(({ granted }) => granted)).toEqual([true, true, true]);
  await noSessions();
});

test('close ends a call whose connection is just being opened, and closes that connection', async () => {
  await using other = new Fencepost({
    connection: { connectionString: database.url, application_name: 'other' },
  });
  await using held = await other.advisory.acquire('a');
  // The first connection of all; and a second one, to wait on.
  for (const key of ['b', 'a']) {
    const fencepost = new Fencepost({ connection: database.url });
    if (key === 'a') await (await fencepost.advisory.acquire('c')).release();
    const refused = expect(fencepost.advisory.acquire(key)).rejects.toThrow(StateError);
    await fencepost.close();
    await refused;
    await noSessions();
  }
  held.assertHeld();
});

test('close ends although the server does not answer', { timeout: 30_000 }, async () => {
  await using proxy = await startProxy(database.url);
  const fencepost = new Fencepost({ connection: proxy.url });
  const lock = await fencepost.advisory.acquire('a');
  proxy.freeze();
  const refused = expect(fencepost.advisory.acquire('b')).rejects.toThrow(StateError);
  await fencepost.close();
  await refused;
  expect(lock.state).toBe('released');
  proxy.cut();
  await noSessions();
});
