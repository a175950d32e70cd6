import { once } from 'node:events';
import { ArgumentError, LockTimeoutError, StateError } from 'fencepost';
import { createMemoryFencepost, freezeClock, killHolder } from 'fencepost/testing';
import { afterEach, expect, test, vi } from 'vitest';

afterEach(() => {
  vi.useRealTimers();
});

function fakeTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] });
}

test('with the timers of a test runner time passes as the test says', async () => {
  fakeTime();
  await using one = createMemoryFencepost();
  await using other = createMemoryFencepost({ beside: one });
  const kept = await one.leases.acquire('kept', { ttl: '30s' });
  const fixed = await one.leases.acquire('fixed', { ttl: '30s', renew: false });
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect([kept.state, fixed.state]).toEqual(['held', 'lost']);
  expect(await other.leases.tryAcquire('kept')).toBeNull();
  await (await other.leases.acquire('fixed', { wait: 0 })).release();

  using frozen = freezeClock(one);
  const waiting = other.leases.acquire('kept', { wait: '1m' });
  await vi.advanceTimersByTimeAsync(31_000);
  const next = await waiting;
  expect(kept.state).toBe('held');
  frozen.thaw();
  expect([kept.state, next.state]).toEqual(['lost', 'held']);
});

test('doubles that are not made beside each other know nothing of each other', async () => {
  await using one = createMemoryFencepost();
  await using other = createMemoryFencepost();
  await using lease = await one.leases.acquire('a');
  await using second = await other.leases.acquire('a', { wait: 0 });
  expect([lease.state, second.state]).toEqual(['held', 'held']);
});

test('who holds what can be looked at', async () => {
  await using one = createMemoryFencepost();
  await using other = createMemoryFencepost({ beside: one });
  const key = { tenant: 't "1", {x}', name: ['a', '\\'] };
  await using lease = await one.leases.acquire(key, { metadata: { why: 'a "test"' }, slots: 2 });
  const found = {
    tenant: lease.tenant,
    name: lease.name,
    slot: 0,
    token: lease.token,
    application: 'memory:1',
  };
  expect(await other.inspect.leases()).toMatchObject([{ ...found, metadata: { why: 'a "test"' } }]);
  expect(await other.inspect.holders()).toMatchObject([{ application: 'memory:1', held: 1, alive: true }]);
  const { transaction } = await guardIn(other, lease);
  await transaction.commit();
});

async function guardIn(
  fencepost: ReturnType<typeof createMemoryFencepost>,
  lease: Awaited<ReturnType<typeof fencepost.leases.acquire>>,
) {
  const transaction = fencepost.begin();
  await lease.guard(transaction);
  return { transaction };
}

test('locks in a transaction end with it, and share their keys with session locks', async () => {
  await using fencepost = createMemoryFencepost();
  await using other = createMemoryFencepost({ beside: fencepost });
  await using first = fencepost.begin();
  await using second = other.begin();
  await fencepost.transaction(first).acquireAll(['a', 'b']);
  await fencepost.transaction(first).acquire('a');
  expect(await other.transaction(second).tryAcquire('b')).toBe(false);
  expect(await other.advisory.tryAcquire('a')).toBeNull();
  await expect(other.transaction(second).acquire('a', { wait: 20 })).rejects.toThrow(LockTimeoutError);
  const reason = new Error('enough');
  const controller = new AbortController();
  const { signal } = controller;
  const aborted = other.transaction(second).acquire('a', { signal });
  controller.abort(reason);
  await expect(aborted).rejects.toBe(reason);
  const waiting = other.transaction(second).acquire('a', { mode: 'shared', wait: '10s' });
  await first.commit();
  await waiting;
  await using shared = await other.advisory.acquire('a', { mode: 'shared' });
  expect(shared.state).toBe('held');
  await second.rollback();
  await expect(other.transaction(second).acquire('a')).rejects.toThrow(StateError);
});

test('a transaction runs no SQL, and what the double has not says so', async () => {
  await using fencepost = createMemoryFencepost();
  await using transaction = fencepost.begin();
  await expect(transaction.runInTransaction('select 1')).rejects.toThrow('runs no SQL');
  await expect(fencepost.leases.sweep({ olderThan: '1d' })).rejects.toThrow(
    'no Postgres is there to run lease_sweep',
  );
});

test('two session locks of one process are lost together when their session is killed', async () => {
  await using one = createMemoryFencepost();
  await using other = createMemoryFencepost({ beside: one });
  const locks = [await one.advisory.acquire('a'), await one.advisory.acquire('b', { fence: true })];
  expect(locks[1]?.token).toBe(1n);
  const waiting = other.advisory.acquire('b', { wait: '10s' });
  await killHolder(locks[0] as (typeof locks)[0]);
  expect(locks.map(({ state, signal }) => [state, signal.reason.reason])).toEqual([
    ['lost', 'connection'],
    ['lost', 'connection'],
  ]);
  await (await waiting).release();
});

test('who leads can be followed', async () => {
  await using one = createMemoryFencepost();
  await using other = createMemoryFencepost({ beside: one });
  const controller = new AbortController();
  const { signal } = controller;
  const campaign = one.elections.campaign('scheduler', { signal }, async (term) => {
    await once(term.signal, 'abort');
  });
  const seen: (string | undefined)[] = [];
  for await (const leader of other.elections.observe('scheduler', { poll: 20 })) {
    if (leader !== null) {
      seen.push(leader.application);
      controller.abort();
    } else if (signal.aborted) break;
  }
  expect(seen).toEqual(['memory:1']);
  await campaign;
});

test('wrong arguments are refused by name', async () => {
  expect(() => createMemoryFencepost({ besides: 1 } as never)).toThrow("did you mean 'beside'?");
  expect(() => createMemoryFencepost({ beside: {} as never })).toThrow(ArgumentError);
  expect(() => createMemoryFencepost({ sessions: { ttl: 1 } })).toThrow('options.sessions.ttl');
  await using fencepost = createMemoryFencepost();
  expect(() => fencepost.transaction({} as never)).toThrow('transaction: expected a transaction of begin()');
  await fencepost.close();
  expect(() => fencepost.begin()).toThrow(StateError);
  await expect(fencepost.inspect.leases()).rejects.toThrow(StateError);
});
