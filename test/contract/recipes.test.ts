import { once } from 'node:events';
import { type BarrierEntry, Fencepost, LockTimeoutError, StaleTokenError, StateError } from 'fencepost';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startChild } from '../support/child.ts';
import { createDatabase } from '../support/database.ts';
import { openPg } from '../support/transactions.ts';
import { until } from '../support/until.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

let one: Fencepost;
let other: Fencepost;
beforeEach(() => {
  one = new Fencepost({ connection: database.url });
  other = new Fencepost({ connection: database.url });
});
afterEach(() => Promise.all([one.close(), other.close()]));

const taken = async (count: number): Promise<void> =>
  void (await until(`${count} places are taken`, async () => (await one.inspect.leases()).length === count));

describe('a double barrier', () => {
  test('lets in all at once, and lets out all at once', async () => {
    const events: string[] = [];
    const first = one.barriers.enter('a', { parties: 2 }).then((entry) => {
      events.push('in');
      return entry;
    });
    await taken(1);
    expect(events).toEqual([]);
    const entries = await Promise.all([first, other.barriers.enter('a', { parties: 2 })]);
    expect(entries.map(({ key, state }) => [key, state])).toEqual(Array(2).fill(['a', 'held']));
    expect(typeof entries[0].token).toBe('bigint');
    expect(entries[0].signal.aborted).toBe(false);

    const leaving = entries[0].leave().then(() => events.push('out'));
    await taken(1);
    expect(events).toEqual(['in']);
    await Promise.all([entries[1].leave(), leaving]);
    expect(entries[0].state).toBe('released');
  });

  test('has round after round, and nobody of the next is let in with this', async () => {
    const entries = await Promise.all([1, 2].map(() => one.barriers.enter('a', { parties: 2 })));
    // Both slots are taken, one by the round that goes on: that is no round.
    await entries[0]?.release();
    let began = false;
    const early = other.barriers.enter('a', { parties: 2 }).finally(() => {
      began = true;
    });
    await taken(2);
    await expect(other.barriers.enter('a', { parties: 2, wait: 300 })).rejects.toThrow(LockTimeoutError);
    await one.leases.sweep({ olderThan: 0 });
    await expect(other.barriers.enter('a', { parties: 2, wait: 300 })).rejects.toThrow(LockTimeoutError);
    expect(began).toBe(false);
    await entries[1]?.release();
    const next = await Promise.all([early, one.barriers.enter('a', { parties: 2 })]);
    await Promise.all(next.map((entry) => entry.leave()));
    // Once nobody has a place, nothing is left of it, and it begins anew.
    while ((await one.leases.sweep({ olderThan: 0 })) > 0);
    expect(await database.query(`select name from fencepost.lease where name like '%barrier%"a"]'`)).toEqual(
      [],
    );
    const anew = await Promise.all([1, 2].map(() => one.barriers.enter('a', { parties: 2 })));
    expect((anew[0]?.token ?? 0n) > (next[0]?.token ?? 0n)).toBe(true);
    await Promise.all(anew.map((entry) => entry.leave()));
  });

  test('does not count who gave up, and says how long it waited', async () => {
    const error = await one.barriers.enter('a', { parties: 2, wait: 100 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'LOCK_TIMEOUT', key: 'a', waited: expect.any(Number) });
    const controller = new AbortController();
    const aborted = one.barriers.enter('a', { parties: 2, signal: controller.signal });
    await taken(1);
    controller.abort(new RangeError('enough'));
    await expect(aborted).rejects.toThrow('enough');
    await expect(other.barriers.enter('a', { parties: 2, wait: 100 })).rejects.toThrow(LockTimeoutError);
  });

  test('does not count who died, and does not wait for the dead to leave', async () => {
    const names = ['dead', 'left'].map((name) => ({ url: database.url, name, parties: 2, ttl: 500 }));
    const module = new URL('../races/barrier-worker.ts', import.meta.url);
    await using waiter = startChild(module, { ...names[0], kind: 'enter' });
    await taken(1);
    waiter.signal('SIGKILL');
    await waiter.ended;
    await expect(one.barriers.enter('dead', { parties: 3, wait: 1_500 })).rejects.toThrow(LockTimeoutError);
    await using partner = startChild(module, { ...names[1], kind: 'enter' });
    const entry: BarrierEntry = await one.barriers.enter('left', { parties: 2 });
    await partner.next();
    partner.signal('SIGKILL');
    await entry.leave({ wait: '10s' });
  });

  test('closing ends the wait, and wrong arguments are refused', async () => {
    const entering = one.barriers.enter('a', { parties: 2 });
    await taken(1);
    const closing = one.close();
    await expect(entering).rejects.toThrow(StateError);
    await closing;
    await expect(other.barriers.enter('a', { parties: 0 })).rejects.toMatchObject({
      argument: 'options.parties',
    });
    await expect(other.barriers.enter('a', {} as never)).rejects.toMatchObject({
      argument: 'options.parties',
    });
  });
});

test('a simple barrier keeps everybody waiting until it is released', async () => {
  const barrier = await one.barriers.raise('a');
  expect(barrier.key).toBe('a');
  await expect(other.barriers.pass('a', { wait: 50 })).rejects.toThrow(LockTimeoutError);
  const passing = Promise.all([other.barriers.pass('a'), other.barriers.pass('a'), one.barriers.pass('a')]);
  await barrier.release();
  await passing;
  await other.barriers.pass('a');
});

describe('a latch', () => {
  test('opens when all parts are done, and not when a part is only given back', async () => {
    const waiting = other.latches.wait('a', { count: 2 });
    const first = await one.latches.join('a', { count: 2 });
    const second = await other.latches.join('a', { count: 2 });
    expect([first.index, second.index].sort()).toEqual([0, 1]);
    await expect(one.latches.join('a', { count: 2, wait: 50 })).rejects.toThrow(LockTimeoutError);
    await first.countDown();
    await first.countDown();
    await first.release();
    expect(first.state).toBe('released');
    await second.release();
    await expect(one.latches.wait('a', { count: 2, wait: 50 })).rejects.toThrow(LockTimeoutError);
    const late = one.latches.join('a', { count: 2 });
    await (await late).countDown();
    await waiting;
    await one.latches.wait('a', { count: 2, wait: 0 });
    await expect(one.latches.join('a', { count: 2 })).rejects.toThrow('all 2 parts are done');
    await one.latches.reset('a');
    await expect(one.latches.wait('a', { count: 2, wait: 0 })).rejects.toThrow(LockTimeoutError);
  });

  test('who waits for a part is told when all are done', async () => {
    const part = await one.latches.join('b', { count: 1 });
    const waiting = other.latches.join('b', { count: 1 });
    await part.countDown();
    await expect(waiting).rejects.toThrow(StateError);
    await one.latches.reset('b');
  });

  test('a part that was taken away cannot be counted down, and its writes are refused', async () => {
    const part = await one.latches.join('c', { count: 1, ttl: '1h' });
    await other.latches.reset('c');
    await expect(part.countDown()).rejects.toThrow(StaleTokenError);
    const client = await openPg(database.pool, 'read committed');
    await expect(part.guard(client.trx)).rejects.toThrow(StaleTokenError);
    await client.rollback();
    const next = await other.latches.join('c', { count: 1 });
    expect(next.token > part.token).toBe(true);
    await next.release();
  });
});

describe('members', () => {
  test('are listed as long as they live, in the order in which they joined', async () => {
    const first = await one.members.join('a', { port: 1 });
    const second = await other.members.join('a', { port: 2 });
    await one.members.join('b');
    const list = await one.members.list('a');
    expect(list.map(({ metadata, token }) => ({ metadata, token }))).toEqual([
      { metadata: { port: 1 }, token: first.token },
      { metadata: { port: 2 }, token: second.token },
    ]);
    expect(list[0]?.application).toContain(':');
    expect(list[0]?.since).toBeInstanceOf(Date);
    await first.release();
    expect((await one.members.list('a')).map(({ token }) => token)).toEqual([second.token]);
    expect((await one.members.list('b'))[0]?.metadata).toBeUndefined();
  });

  test('are watched: who is there, and each change, the death of one among them', async () => {
    const module = new URL('../races/barrier-worker.ts', import.meta.url);
    await using child = startChild(module, { url: database.url, name: 'a', kind: 'join', ttl: 400 });
    await child.next();
    const sizes: number[] = [];
    const controller = new AbortController();
    for await (const members of one.members.watch('a', { poll: 20, signal: controller.signal })) {
      sizes.push(members.length);
      if (sizes.length === 1) await other.members.join('a');
      if (sizes.length === 2) child.signal('SIGKILL');
      if (sizes.length === 3) controller.abort();
    }
    expect(sizes).toEqual([1, 2, 1]);
  });

  test('watching ends with close', async () => {
    const watching = one.members.watch('a')[Symbol.asyncIterator]();
    expect(await watching.next()).toEqual({ done: false, value: [] });
    const next = watching.next();
    await one.close();
    expect(await next).toEqual({ done: true, value: undefined });
  });

  test('a place says when it is lost', async () => {
    const member = await one.members.join('a', {}, { ttl: 300 });
    const lost = once(member.signal, 'abort');
    await database.query('delete from fencepost.holder');
    await lost;
    expect(member.signal.reason).toMatchObject({ code: 'LOCK_LOST' });
    expect(member.state).toBe('lost');
  });
});
