import { Fencepost, type Lease } from 'fencepost';
import { expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { grantedTwice, heldBy, heldOnServer, recordGrants } from '../support/grants.ts';
import { plant } from '../support/plant.ts';
import { type FaultyNetwork, type Link, type Packet, startProxy, type Verdict } from '../support/proxy.ts';
import { Random } from '../support/random.ts';
import { blockedIn, sessionEnded } from '../support/sessions.ts';
import { until } from '../support/until.ts';

const ttl = '10s';

/** Lets everything pass, but does this to the first packet that fits. */
function once(fits: (packet: Packet) => boolean, verdict: Verdict): FaultyNetwork['tap'] {
  let done = false;
  return (packet) => {
    if (done || !fits(packet)) return 'pass';
    done = true;
    return verdict;
  };
}

const acquireAnswer = ({ direction, about }: Packet): boolean =>
  direction === 'answer' && about('lease_acquire');

test.each([{ renew: true }, { renew: false }])(
  'an acquire whose answer is lost after the commit resolves to the token in the row ($renew)',
  { tags: ['F22'] },
  async ({ renew }) => {
    await using database = await createDatabase();
    await recordGrants(database);
    await using proxy = await startProxy(database.url);
    await using fencepost = new Fencepost({ connection: proxy.url });
    proxy.tap = once(acquireAnswer, 'cut');
    await using lease = await fencepost.leases.acquire('a', { ttl, renew, wait: '5s' });
    expect(await heldOnServer(database)).toEqual(heldBy([lease]));
    expect(await database.query('select token::text from granted')).toEqual([{ token: String(lease.token) }]);
    lease.assertHeld();
  },
);

test('without the nonce, the answer that was lost would not be found again', { tags: ['F22'] }, async () => {
  await using database = await createDatabase();
  await plant(database.query, 'lease_acquire', [
    'coalesce(l.holder_id = p_holder and l.nonce = a.nonce, false) as mine',
    'false as mine',
  ]);
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  proxy.tap = once(acquireAnswer, 'cut');
  expect(await fencepost.leases.tryAcquire('a', { ttl })).toBeNull();
  expect(await heldOnServer(database)).toHaveLength(1);
});

/** Cuts the connection that works, at a packet or a moment after it that chance decides. */
function cutAtRandom(random: Random): FaultyNetwork['tap'] {
  const direction = random.pick(['request', 'answer'] as const);
  const hurry = random.pick([true, false]);
  let packets = random.below(3);
  return (packet) => {
    if (packet.direction !== direction || !packet.about('lease_')) return 'pass';
    packets -= 1;
    if (packets >= 0 || packets < -1) return 'pass';
    if (hurry) return 'cut';
    setTimeout(() => packet.link.cut(), random.below(4));
    return 'pass';
  };
}

test('wherever connections are cut, each call gets one token or none, and nothing is held that no handle knows', {
  tags: ['F22'],
}, async () => {
  await using database = await createDatabase();
  await recordGrants(database);
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  const random = new Random();
  for (let round = 0; round < 60; round += 1) {
    const renew = random.pick([true, true, false]);
    proxy.tap = cutAtRandom(random);
    const calls = Array.from({ length: 6 }, (_, index) => {
      // Each third key is asked for twice: one of the two has to go without.
      const key = `${index % 3 === 2 ? index - 1 : index} ${random.below(4)}`;
      return fencepost.leases.tryAcquire(key, { ttl: '3s', renew });
    });
    const leases = await Promise.all(calls);
    const seen = `seed ${random.seed}, round ${round}`;
    expect(await heldOnServer(database), seen).toEqual(heldBy(leases));
    proxy.tap = cutAtRandom(random);
    await Promise.all(leases.map((lease) => lease?.release()));
    proxy.tap = () => 'pass';
    expect(await heldOnServer(database), seen).toEqual([]);
  }
  expect(await grantedTwice(database)).toEqual([]);
});

/** The grant waits, before it commits, for a lock that the test has; meanwhile the connection is cut. */
async function cutWhileRunning(database: TestDatabase): Promise<{ lease: Lease | null; held: string[] }> {
  await database.query(`
    create function public.wait_for_test() returns trigger language plpgsql as $$
    begin
      perform pg_advisory_xact_lock_shared(42);
      return null;
    end $$;
    create trigger wait_for_test after update on fencepost.lease for each row
    when (new.name = 'a' and new.token <> old.token) execute function public.wait_for_test()`);
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  await database.query(`insert into fencepost.lease (tenant, name) values ('', 'a')`);
  const other = await database.pool.connect();
  await other.query('select pg_advisory_lock(42)');
  try {
    const acquiring = fencepost.leases.tryAcquire('a', { ttl });
    acquiring.catch(() => {});
    await blockedIn(database, 'lease_acquire');
    // Of the connections only that of the statement is lost, not that of the heartbeat.
    const [link] = [...proxy.links].filter((one) => one.about('lease_acquire'));
    if (link === undefined) throw new Error('no connection runs lease_acquire');
    link.cut();
    // Either the fence waits for the statement, or, planted, it does not, and the call ends before it.
    await Promise.race([blockedIn(database, 'holder_fence'), acquiring]);
    await other.query('select pg_advisory_unlock(42)');
    const lease = await acquiring;
    await sessionEnded(database, link);
    return { lease, held: await heldOnServer(database) };
  } finally {
    await other.query('select pg_advisory_unlock_all()');
    other.release();
  }
}

test('an acquire that still runs when its connection is lost is waited for, and its grant is found', {
  tags: ['F22'],
}, async () => {
  await using database = await createDatabase();
  await recordGrants(database);
  const { lease, held } = await cutWhileRunning(database);
  expect(lease).not.toBeNull();
  expect(held).toEqual(heldBy([lease]));
  expect(await grantedTwice(database)).toEqual([]);
});

test('a fence that does not wait for it would leave its grant with nobody', { tags: ['F22'] }, async () => {
  await using database = await createDatabase();
  await plant(database.query, 'holder_fence', ['for update', 'for no key update']);
  const { lease, held } = await cutWhileRunning(database);
  expect(lease).toBeNull();
  expect(held).toHaveLength(1);
});

/** The request of an acquire stays in the network, the call gets its answer in another way, and then it arrives. */
async function deliverLate(database: TestDatabase): Promise<string[]> {
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  await (await fencepost.leases.acquire('other', { ttl })).release();
  const late: Link[] = [];
  proxy.tap = once((packet) => {
    const found = packet.direction === 'request' && packet.about('lease_acquire');
    if (found) late.push(packet.link);
    return found;
  }, 'freeze');
  const acquiring = fencepost.leases.acquire('a', { ttl, wait: '5s' });
  await until('the request is on its way', () => late.length > 0);
  for (const link of late) link.hangUp();
  const lease = await acquiring;
  await lease.release();
  for (const link of late) {
    link.thaw();
    await sessionEnded(database, link);
  }
  return await heldOnServer(database);
}

test('an acquire that reaches the server after its call has ended grants nothing', {
  tags: ['F13', 'F22'],
}, async () => {
  await using database = await createDatabase();
  expect(await deliverLate(database)).toEqual([]);
});

test('without the epoch it would hold the lease for nobody', { tags: ['F22'] }, async () => {
  await using database = await createDatabase();
  await plant(database.query, 'holder_check', ['v_holder.epoch <> p_epoch', 'false']);
  expect(await deliverLate(database)).toHaveLength(1);
});

test('a fence that the client does not know of does not stop its acquires', async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  await using first = await fencepost.leases.acquire('a', { ttl });
  await database.query('select fencepost.holder_fence(holder_id) from fencepost.leases where name = $1', [
    'a',
  ]);
  await using second = await fencepost.leases.acquire('b', { ttl, wait: '5s' });
  expect([first.state, second.state]).toEqual(['held', 'held']);
});

test('a heartbeat that is still under way after a release and a close brings nothing back', {
  tags: ['F24'],
}, async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  const fencepost = new Fencepost({ connection: proxy.url });
  const lease = await fencepost.leases.acquire('a', { ttl: '1s' });
  const late: Link[] = [];
  proxy.tap = (packet) => {
    if (packet.direction !== 'request' || !packet.about('holder_beat')) return 'pass';
    late.push(packet.link);
    return 'freeze';
  };
  await until('a heartbeat is on its way', () => late.length > 0);
  await lease.release();
  await fencepost.close();
  expect(await heldOnServer(database)).toEqual([]);
  for (const link of late) {
    link.thaw();
    await sessionEnded(database, link);
  }
  expect(await heldOnServer(database)).toEqual([]);
  await using other = new Fencepost({ connection: database.url });
  await using _next = await other.leases.acquire('a', { ttl, wait: 0 });
  expect(lease.state).toBe('released');
});

/** The release of a lease stays in the network until the lease has expired and another has it. */
async function releaseLate(database: TestDatabase): Promise<{ held: string[]; next: Lease }> {
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  const other = new Fencepost({ connection: database.url });
  const lease = await fencepost.leases.acquire('a', { ttl: 300 });
  const late: Link[] = [];
  proxy.tap = (packet) => {
    if (packet.direction !== 'request' || !packet.about('lease_release')) return 'pass';
    late.push(packet.link);
    return 'freeze';
  };
  const releasing = lease.release();
  await until('the release is on its way', () => late.length > 0);
  await database.query('delete from fencepost.holder');
  const next = await other.leases.acquire('a', { ttl });
  proxy.tap = () => 'pass';
  for (const link of late) link.thaw();
  await releasing;
  const held = await heldOnServer(database);
  await other.close();
  return { held, next };
}

test('a release that arrives after another was granted the lease does not touch it', {
  tags: ['F24'],
}, async () => {
  await using database = await createDatabase();
  const { held, next } = await releaseLate(database);
  expect(held).toEqual([`a ${next.token}`]);
});

test('a release that names only the key would take it away', async () => {
  await using database = await createDatabase();
  await plant(database.query, 'lease_release', ['and l.token = a.token and l.holder_id = p_holder', '']);
  expect((await releaseLate(database)).held).toEqual([]);
});
