import { Fencepost } from 'fencepost';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { heldBy, heldOnServer } from '../support/grants.ts';
import { type Link, type Packet, startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

const lost = (signal: AbortSignal): Promise<unknown> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason), { once: true }));

test.each([{ renew: true }, { renew: false }])(
  'a lease is lost at its deadline when the network falls silent, without any event of a socket (renew: $renew)',
  { tags: ['F21'] },
  async ({ renew }) => {
    await using database = await createDatabase();
    await using proxy = await startProxy(database.url);
    await using fencepost = new Fencepost({ connection: proxy.url });
    await using other = new Fencepost({ connection: database.url });
    const ttl = 2_000;
    const lease = await fencepost.leases.acquire('a', { ttl, renew });
    proxy.freeze();
    const taking = other.leases.acquire('a', { ttl: '30s', wait: '10s' }).then((next) => {
      // Before anybody else has it, its last holder knows that it is lost.
      expect(lease.state).toBe('lost');
      return next;
    });
    expect(await lost(lease.signal)).toMatchObject({ code: 'LOCK_LOST', key: 'a', reason: 'expired' });
    expect(() => lease.assertHeld()).toThrow(expect.objectContaining({ code: 'LOCK_LOST' }));
    await using next = await taking;
    expect(next.token > lease.token).toBe(true);
    proxy.thaw();
    await using _again = await fencepost.leases.acquire('b', { ttl, wait: '15s' });
    expect(lease.state).toBe('lost');
    await lease.release();
    next.assertHeld();
  },
);

test('a lease is doubtful while heartbeats are not answered, and held again when they are in time', async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  await using lease = await fencepost.leases.acquire('a', { ttl: '3s' });
  proxy.tap = ({ direction, about }) => (direction === 'answer' && about('holder_beat') ? 'cut' : 'pass');
  await until('doubt', () => lease.state === 'doubtful');
  lease.assertHeld();
  proxy.tap = () => 'pass';
  await until('certainty', () => lease.state === 'held');
});

/** Freezes, for good, each connection on which such a packet comes, as often as that. */
function freezing(times: number, fits: (packet: Packet) => boolean): (packet: Packet) => 'pass' | 'freeze' {
  const frozen = new Set<Link>();
  return (packet) => {
    if (!fits(packet) || frozen.size >= times) return 'pass';
    frozen.add(packet.link);
    return 'freeze';
  };
}

test.each([
  { what: 'the heartbeat', fits: ({ about }: Packet) => about('holder_beat') },
  { what: 'the next connection while it is made', fits: ({ about }: Packet) => about('pg_is_in_recovery') },
])(
  'a lease is not lost when $what falls into a black hole and a second try would get through',
  async ({ fits }) => {
    await using database = await createDatabase();
    await using proxy = await startProxy(database.url);
    await using fencepost = new Fencepost({ connection: proxy.url });
    await using lease = await fencepost.leases.acquire('a', { ttl: '3s' });
    const [row] = await database.query<{ beat: Date }>('select beat_at as beat from fencepost.holders');
    proxy.tap = freezing(1, (packet) => packet.direction === 'answer' && fits(packet));
    // The second of them only meets a connection that is being made when one has to be made.
    for (const link of proxy.links) if (link.about('holder_')) link.cut();
    await until('a heartbeat after that', async () => {
      const [now] = await database.query<{ beat: Date }>('select beat_at as beat from fencepost.holders');
      return row !== undefined && now !== undefined && now.beat.getTime() - row.beat.getTime() > 2_500;
    });
    expect(lease.state).toBe('held');
  },
);

test('a short ttl is not lost because a longer one waits for a connection', async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  await using lease = await fencepost.leases.acquire('a', { ttl: '3s' });
  proxy.tap = freezing(1, ({ direction, about }) => direction === 'answer' && about('pg_is_in_recovery'));
  for (const link of proxy.links) if (link.about('holder_')) link.cut();
  const before = proxy.opened;
  const long = (async () => {
    for (;;) {
      try {
        return await fencepost.leases.acquire('b', { ttl: '60s' });
      } catch {
        // The client had not yet heard that its connection is lost.
      }
    }
  })();
  await until('the longer one connects', () => proxy.opened > before);
  const [row] = await database.query<{ beat: Date }>('select beat_at as beat from fencepost.holders');
  await until('heartbeats after that', async () => {
    const [now] = await database.query<{ beat: Date }>(
      `select beat_at as beat from fencepost.holders where ttl = interval '3 s'`,
    );
    return row !== undefined && now !== undefined && now.beat.getTime() - row.beat.getTime() > 2_500;
  });
  expect(lease.state).toBe('held');
  proxy.thaw();
  await (await long).release();
});

test('with renew: true an answer slower than the ttl does no harm as long as heartbeats get through', {
  tags: ['F23'],
}, async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  proxy.tap = lateAnswers(1, 900);
  await using lease = await fencepost.leases.acquire('a', { ttl: 600 });
  expect(lease.state).toBe('held');
});

test('with renew: false a lease whose answer came later than the ttl comes with a new term, or not at all and free', {
  tags: ['F23'],
}, async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  proxy.tap = lateAnswers(1, 900);
  const outcome = await fencepost.leases
    .acquire('a', { ttl: 600, renew: false })
    .catch((error: unknown) => error);
  expect(outcome).toMatchObject({ code: 'LOCK_LOST' });
  await until('it is free', async () => (await heldOnServer(database)).length === 0);
  // Late, and not yet over: it comes with a term that counts from its renewal.
  proxy.tap = lateAnswers(1, 400);
  await using lease = await fencepost.leases.acquire('b', { ttl: 600, renew: false });
  const [row] = await database.query<{ left: number }>(
    `select (extract(epoch from expires_at - clock_timestamp()) * 1000)::float8 as left from fencepost.leases where name = 'b'`,
  );
  expect(row?.left).toBeGreaterThan(540);
  lease.assertHeld();
});

test('the answer to that new term may be lost as well', { tags: ['F22', 'F23'] }, async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  const late = lateAnswers(1, 600);
  let renewals = 0;
  proxy.tap = (packet) => {
    if (!packet.about('lease_renew')) return late(packet);
    if (packet.direction === 'request') renewals += 1;
    return packet.direction === 'answer' && renewals === 1 ? 'cut' : 'pass';
  };
  await using lease = await fencepost.leases.acquire('a', { ttl: '10s', renew: false });
  expect(renewals).toBe(2);
  expect(await heldOnServer(database)).toEqual(heldBy([lease]));
});

test.each([{ how: 'its wait has run out' }, { how: 'its signal has aborted' }])(
  'a grant whose answer comes after the call has ended, because $how, is given back',
  { tags: ['F13', 'F23'] },
  async ({ how }) => {
    await using database = await createDatabase();
    await using proxy = await startProxy(database.url);
    await using fencepost = new Fencepost({ connection: proxy.url });
    await (await fencepost.leases.acquire('other', { ttl: '1m' })).release();
    let frozen: Link | undefined;
    proxy.tap = ({ link, direction, about }) => {
      if (direction !== 'answer' || !about('lease_acquire')) return 'pass';
      frozen = link;
      return 'freeze';
    };
    const controller = new AbortController();
    const options = how.includes('wait') ? { wait: 50 } : { signal: controller.signal };
    const ended = fencepost.leases.acquire('a', { ttl: '1m', ...options }).catch((error: unknown) => error);
    await until('the grant', async () => (await heldOnServer(database)).length === 1);
    controller.abort(new Error('enough'));
    expect(String(await ended)).toMatch(/has not answered within|enough/);
    expect(await heldOnServer(database)).toHaveLength(1);
    proxy.tap = () => 'pass';
    frozen?.thaw();
    await until('it is given back', async () => (await heldOnServer(database)).length === 0);
  },
);

test('an acquire ends when every answer is slower than the ttl, and leaves nothing behind', {
  tags: ['F23'],
}, async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  proxy.delay.answer = 150;
  for (const renew of [true, false]) {
    const trying = fencepost.leases.tryAcquire('a', { ttl: 100, renew });
    await expect(trying).rejects.toThrow(expect.objectContaining({ retriable: true }));
  }
  proxy.delay.answer = 0;
  await until('it is free', async () => (await heldOnServer(database)).length === 0);
});

/** So many answers to acquires come so late; the connection is silent meanwhile. */
function lateAnswers(times: number, late: number): (packet: Packet) => 'pass' | 'freeze' {
  const freeze = freezing(times, ({ direction, about }) => direction === 'answer' && about('lease_acquire'));
  return (packet) => {
    const verdict = freeze(packet);
    if (verdict === 'freeze') setTimeout(() => packet.link.thaw(), late);
    return verdict;
  };
}
