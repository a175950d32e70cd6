import { Fencepost, StateError } from 'fencepost';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { grantedTwice, heldBy, heldOnServer, recordGrants } from '../support/grants.ts';
import { type FaultyNetwork, type Packet, startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

const ttl = '10s';

/** A Fencepost with a living holder: then the first try of a call is sent without a detour. */
async function prepared() {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await createDatabase());
  await recordGrants(database);
  const proxy = stack.use(await startProxy(database.url));
  const fencepost = stack.use(new Fencepost({ connection: proxy.url }));
  await (await fencepost.leases.acquire('warm', { ttl })).release();
  const kept = stack.move();
  return { database, proxy, fencepost, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function cutOnce(direction: Packet['direction'], about: string): FaultyNetwork['tap'] {
  let done = false;
  return (packet) => {
    if (done || packet.direction !== direction || !packet.about(about)) return 'pass';
    done = true;
    return 'cut';
  };
}

test.each(['request', 'answer'] as const)(
  'calls in line whose first try loses its %s get the lease once each, and in their order',
  { tags: ['F22'] },
  async (direction) => {
    await using all = await prepared();
    const { database, proxy, fencepost } = all;
    proxy.tap = cutOnce(direction, 'lease_acquire');
    const order: number[] = [];
    const tokens: bigint[] = [];
    await Promise.all(
      [0, 1, 2, 3].map(async (place) => {
        const lease = await fencepost.leases.acquire('a', { ttl });
        order.push(place);
        tokens.push(lease.token);
        expect(await heldOnServer(database)).toEqual(heldBy([lease]));
        await lease.release();
      }),
    );
    expect(order).toEqual([0, 1, 2, 3]);
    expect(tokens).toEqual([...tokens].sort((a, b) => Number(a - b)));
    expect(await heldOnServer(database)).toEqual([]);
    expect(await grantedTwice(database)).toEqual([]);
  },
);

test.each(['request', 'answer'] as const)(
  'of calls that only try, one gets the lease when their %s is lost',
  { tags: ['F22'] },
  async (direction) => {
    await using all = await prepared();
    const { database, proxy, fencepost } = all;
    proxy.tap = cutOnce(direction, 'lease_acquire');
    const leases = await Promise.all([0, 1, 2].map(() => fencepost.leases.tryAcquire('a', { ttl })));
    expect(leases.filter((lease) => lease !== null)).toHaveLength(1);
    expect(await heldOnServer(database)).toEqual(heldBy(leases));
    expect(await grantedTwice(database)).toEqual([]);
  },
);

test.each(['request', 'answer'] as const)(
  'a release that loses its %s is sent again, and lets in who waits',
  { tags: ['F22'] },
  async (direction) => {
    await using all = await prepared();
    const { database, proxy, fencepost } = all;
    const leases = await Promise.all(['a', 'b', 'c'].map((key) => fencepost.leases.acquire(key, { ttl })));
    proxy.tap = cutOnce(direction, 'lease_release');
    const releases = Promise.all(leases.map((lease) => lease.release()));
    const next = await fencepost.leases.acquire('b', { ttl });
    await releases;
    expect(await heldOnServer(database)).toEqual(heldBy([next]));
    expect(leases.map(({ state }) => state)).toEqual(['released', 'released', 'released']);
  },
);

test('calls that the server refuses because the holder is dead get leases of a new one', async () => {
  await using all = await prepared();
  const { database, fencepost } = all;
  const before = await fencepost.leases.acquire('before', { ttl });
  await database.query('delete from fencepost.holder');
  const [a, b] = await Promise.all(['a', 'b'].map((key) => fencepost.leases.acquire(key, { ttl })));
  expect(await heldOnServer(database)).toEqual(heldBy([a ?? null, b ?? null]));
  expect(before.state).toBe('lost');
});

test('close waits for first tries, and releases what they are granted', async () => {
  await using all = await prepared();
  const { database, proxy, fencepost } = all;
  let asked = false;
  proxy.tap = ({ direction, about }) => {
    asked ||= direction === 'request' && about('lease_acquire');
    return 'pass';
  };
  const acquiring = ['a', 'b'].map((key) => fencepost.leases.acquire(key, { ttl }));
  const behind = fencepost.leases.acquire('a', { ttl });
  behind.catch(() => {});
  await until('they are on their way', () => asked);
  await fencepost.close();
  const leases = await Promise.all(acquiring);
  expect(leases.map(({ state }) => state)).toEqual(['released', 'released']);
  await expect(behind).rejects.toThrow(StateError);
  expect(await heldOnServer(database)).toEqual([]);
});

test('calls that wait for one heartbeat fail together, and the next one gets its lease', {
  tags: ['F22'],
}, async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  const connections: number[] = [];
  for (const count of [1, 100]) {
    await using fencepost = new Fencepost({ connection: proxy.url });
    const before = proxy.opened;
    proxy.tap = () => 'cut';
    const outcomes = await Promise.allSettled(
      Array.from({ length: count }, (_, n) => fencepost.leases.acquire(['a', n % 50], { ttl })),
    );
    connections.push(proxy.opened - before);
    expect(outcomes).toEqual(
      outcomes.map(() => ({ status: 'rejected', reason: expect.objectContaining({ code: 'DATABASE' }) })),
    );
    proxy.tap = () => 'pass';
    await using lease = await fencepost.leases.acquire(['a', 0], { ttl });
    expect(await heldOnServer(database)).toEqual(heldBy([lease]));
  }
  const [one, hundred] = connections;
  expect(hundred).toBe(one);
});

test.each([
  { what: 'a lease', of: (fencepost: Fencepost) => fencepost.leases },
  { what: 'a session lock', of: (fencepost: Fencepost) => fencepost.advisory },
])(
  'a database that falls silent never looks as if somebody else had $what',
  {
    tags: ['F21'],
    timeout: 60_000,
  },
  async ({ of }) => {
    await using database = await createDatabase();
    await using proxy = await startProxy(database.url);
    await using fencepost = new Fencepost({ connection: proxy.url });
    const locks = of(fencepost);
    await (await locks.acquire('warm')).release();
    proxy.freeze();
    // One asks the server, the others stand in line behind it.
    const trying = [1, 2, 3].map(() => locks.tryAcquire('a', { wait: 100 }));
    expect(await Promise.allSettled(trying)).toEqual(
      trying.map(() => ({
        status: 'rejected',
        reason: expect.objectContaining({ code: 'DATABASE', retriable: true }),
      })),
    );
    proxy.thaw();
    await using other = new Fencepost({ connection: database.url });
    const held = await of(other).acquire('b');
    const answers = await Promise.all([1, 2, 3].map(() => locks.tryAcquire('b', { wait: 100 })));
    expect(answers).toEqual([null, null, null]);
    await held.release();
  },
);
