// @module-tag F37
import { Fencepost, LimitError } from 'fencepost';
import { afterAll, expect, test } from 'vitest';
import { advisoryLocks, queued, sessionsOfFencepost } from '../support/advisory.ts';
import { startOwnServer } from '../support/postmaster.ts';
import { openPool } from '../support/server-pool.ts';
import { until } from '../support/until.ts';

/** A server with the smallest lock table there can be, which one client can fill. */
const server = await startOwnServer({
  fsync: false,
  maxConnections: 20,
  postgresFlags: [
    '-c',
    'max_locks_per_transaction=10',
    '-c',
    'max_wal_senders=0',
    '-c',
    'max_worker_processes=0',
  ],
});
const plain = openPool(server.url, 2);
afterAll(async () => {
  await plain[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

/** Half of 10 x (20 + 0). */
const cap = 100;
const room = { timeout: 60_000 };

/** Locks keys from the greatest one down until the table is full, then lets so many of them go. */
async function fill(leaveFree: number) {
  const client = await plain.connect();
  let taken = 0;
  try {
    for (;;) {
      await client.query('select pg_advisory_lock($1)', [2n ** 62n - BigInt(taken)]);
      taken += 1;
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === '53200')) throw error;
  }
  for (let key = taken - leaveFree; key < taken; key += 1) {
    await client.query('select pg_advisory_unlock($1)', [2n ** 62n - BigInt(key)]);
  }
  return {
    taken,
    async [Symbol.asyncDispose]() {
      await client.query('select pg_advisory_unlock_all()');
      await client[Symbol.asyncDispose]();
    },
  };
}

async function heldByFencepost(): Promise<number> {
  const sessions = await sessionsOfFencepost(plain);
  return (await advisoryLocks(plain)).filter(({ pid }) => sessions.includes(pid)).length;
}

test(
  'a process may hold half of the lock table, and what goes beyond is refused by itself',
  room,
  async () => {
    await using fencepost = new Fencepost({ connection: server.url });
    const outcomes = await Promise.allSettled(
      Array.from({ length: cap + 7 }, (_, key) => fencepost.advisory.acquire(BigInt(key))),
    );
    const locks = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
    expect([locks.length, refused.length]).toEqual([cap, 7]);
    for (const error of refused) {
      expect(error).toBeInstanceOf(LimitError);
      expect(error.message).toContain('max_locks_per_transaction');
    }
    expect(await heldByFencepost()).toBe(cap);
    await expect(fencepost.advisory.acquireAll([1_000n, 1_001n])).rejects.toThrow(LimitError);
    await locks[0]?.release();
    await using last = await fencepost.advisory.acquire(1_000n);
    expect(last.state).toBe('held');
  },
);

test('many that share one key need the room of one', room, async () => {
  await using fencepost = new Fencepost({ connection: server.url });
  const locks = await Promise.all(
    Array.from({ length: 2 * cap }, () => fencepost.advisory.acquire('a', { mode: 'shared' })),
  );
  expect(await heldByFencepost()).toBe(1);
  for (const lock of locks) lock.assertHeld();
});

test(
  'a full lock table is a LimitError, whose callers hold nothing, and the others keep what they have',
  room,
  async () => {
    await using fencepost = new Fencepost({ connection: server.url });
    await using before = await fencepost.advisory.acquire('before');
    await using shared = await fencepost.advisory.acquire('shared', { mode: 'shared' });
    {
      await using _full = await fill(6);
      // They travel in one statement, which takes some of the keys and then fails.
      const modes = ['exclusive', 'shared'] as const;
      const calls = Array.from({ length: 60 }, (_, key) =>
        fencepost.advisory.tryAcquire(['many', key], { mode: modes[key % 2] }),
      );
      const together = fencepost.advisory.acquireAll(Array.from({ length: 60 }, (_, key) => ['all', key]));
      const outcomes = await Promise.allSettled([...calls, together]);
      const reasons = outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason : undefined));
      expect(reasons.at(-1)).toBeInstanceOf(LimitError);
      for (const reason of reasons) expect(reason).toBeInstanceOf(LimitError);
      expect(reasons[0]).toMatchObject({ code: 'LIMIT', retriable: true, cause: { code: '53200' } });
      before.assertHeld();
      shared.assertHeld();
    }
    expect(await heldByFencepost()).toBe(2);
    await using after = await fencepost.advisory.acquireAll(
      Array.from({ length: 60 }, (_, key) => ['all', key]),
    );
    expect([before.state, shared.state, after.state]).toEqual(['held', 'held', 'held']);
  },
);

test(
  'where the server does not tell how often a shared key was taken, the session is given up',
  room,
  async () => {
    await using fencepost = new Fencepost({ connection: server.url });
    const before = await fencepost.advisory.acquire('before');
    const shared = await fencepost.advisory.acquire('shared', { mode: 'shared' });
    {
      await using _full = await fill(6);
      const keys = ['shared', ...Array.from({ length: 60 }, (_, key) => `all ${key}`)];
      await expect(fencepost.advisory.acquireAll(keys, { mode: 'shared' })).rejects.toThrow(LimitError);
      expect([before.state, shared.state]).toEqual(['lost', 'lost']);
      expect(before.signal.reason).toMatchObject({ reason: 'closed' });
    }
    expect(await heldByFencepost()).toBe(0);
    await using after = await fencepost.advisory.acquireAll(['before', 'shared']);
    expect(after.state).toBe('held');
  },
);

test('a wait that fails for want of room holds nothing', room, async () => {
  await using fencepost = new Fencepost({ connection: server.url });
  await using other = new Fencepost({ connection: server.url });
  const held = await other.advisory.acquire(1n);
  const keys = Array.from({ length: 60 }, (_, key) => BigInt(key));
  // It waits for the second of its keys, and meanwhile the table fills up.
  const waiting = fencepost.advisory.acquireAll(keys);
  waiting.catch(() => {});
  await queued(plain);
  {
    await using _full = await fill(6);
    await held.release();
    await expect(waiting).rejects.toThrow(LimitError);
  }
  expect(await heldByFencepost()).toBe(0);
});

test(
  'a server without a free connection is a LimitError, and works again when it has one',
  room,
  async () => {
    const clients = openPool(server.url, 30);
    const taken = await Promise.allSettled(Array.from({ length: 30 }, () => clients.connect()));
    await using fencepost = new Fencepost({ connection: server.url });
    await expect(fencepost.advisory.acquire('a')).rejects.toThrow(LimitError);
    for (const client of taken) if (client.status === 'fulfilled') client.value.release();
    await clients[Symbol.asyncDispose]();
    await using lock = await until('granted', () =>
      fencepost.advisory.tryAcquire('a').catch(() => undefined),
    );
    expect(lock.state).toBe('held');
  },
);
