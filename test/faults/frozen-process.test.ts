import { setTimeout as delay } from 'node:timers/promises';
import { Fencepost } from 'fencepost';
import { expect, test } from 'vitest';
import { startChild } from '../support/child.ts';
import { createDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import type { Acquired, HolderProcessArgument, Report } from './holder-process.ts';

const holderProcess = new URL('./holder-process.ts', import.meta.url);
const start = (argument: HolderProcessArgument) => startChild(holderProcess, argument);

test('a process that was stopped past its ttl knows so at its first step, and Postgres refuses its write', {
  tags: ['F04'],
}, async () => {
  await using database = await createDatabase();
  await database.query('create table public.written (token bigint)');
  await using child = start({ url: database.url, key: 'a', ttl: 500 });
  const before = await child.next<Acquired>();
  child.send({});
  expect(await child.next<Report>()).toEqual({
    asserted: 'held',
    state: 'held',
    aborted: false,
    write: 'COMMIT',
  });

  child.signal('SIGSTOP');
  await using other = new Fencepost({ connection: database.url });
  await using next = await other.leases.acquire('a', { ttl: '30s', wait: '10s' });
  expect(next.token > BigInt(before.token)).toBe(true);
  child.send({});
  child.signal('SIGCONT');
  expect(await child.next<Report>()).toEqual({
    asserted: 'LOCK_LOST',
    state: 'lost',
    aborted: true,
    write: 'STALE_TOKEN',
  });
  expect(await database.query('select from public.written')).toHaveLength(1);
  next.assertHeld();
});

test('a process that was stopped past its ttl may still write as long as nobody took its lease', {
  tags: ['F04'],
}, async () => {
  await using database = await createDatabase();
  await database.query('create table public.written (token bigint)');
  await using child = start({ url: database.url, key: 'a', ttl: 300 });
  await child.next<Acquired>();
  child.signal('SIGSTOP');
  await until('its holder has expired', async () => {
    const rows = await database.query('select from fencepost.holders where not alive');
    return rows.length === 1;
  });
  child.send({});
  child.signal('SIGCONT');
  expect(await child.next<Report>()).toMatchObject({ asserted: 'LOCK_LOST', aborted: true, write: 'COMMIT' });
});

test('a process that is killed leaves its lease until the ttl, and the next token is greater', {
  tags: ['F01'],
}, async () => {
  await using database = await createDatabase();
  await using child = start({ url: database.url, key: 'a', ttl: 2_000 });
  const before = await child.next<Acquired>();
  child.signal('SIGKILL');
  await child.ended;
  await using fencepost = new Fencepost({ connection: database.url });
  expect(await fencepost.leases.tryAcquire('a', { ttl: '30s' })).toBeNull();
  await using next = await fencepost.leases.acquire('a', { ttl: '30s', wait: '10s' });
  expect(next.token > BigInt(before.token)).toBe(true);
});

test('a process that is killed between the grant and its answer leaves the lease until the ttl', {
  tags: ['F03'],
}, async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  let answered = false;
  proxy.tap = ({ direction, about }) => {
    if (direction !== 'answer' || !about('lease_acquire')) return 'pass';
    answered = true;
    return 'freeze';
  };
  await using child = start({ url: database.url, leaseUrl: proxy.url, key: 'a', ttl: 600 });
  await until('the answer', () => answered);
  const [granted] = await database.query<{ token: string }>(`select token from fencepost.leases where held`);
  child.signal('SIGKILL');
  await child.ended;
  await using fencepost = new Fencepost({ connection: database.url });
  await using next = await fencepost.leases.acquire('a', { ttl: '30s', wait: '10s' });
  expect(next.token > BigInt(granted?.token ?? 0)).toBe(true);
  expect(child.waiting).toEqual([]);
});

/** Stops this thread, timers and sockets included. */
function block(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

test.each([{ renew: true }, { renew: false }])(
  'code that blocked the event loop past the ttl sees the loss before anything else runs (renew: $renew)',
  { tags: ['F06'] },
  async ({ renew }) => {
    await using database = await createDatabase();
    await using fencepost = new Fencepost({ connection: database.url });
    const ttl = 1_000;
    const leases = [
      await fencepost.leases.acquire('state', { ttl, renew }),
      await fencepost.leases.acquire('signal', { ttl, renew }),
      await fencepost.leases.acquire('assertHeld', { ttl, renew }),
    ] as const;
    block(ttl);
    expect(leases[0].state).toBe('lost');
    expect(leases[1].signal.aborted).toBe(true);
    expect(leases[1].signal.reason).toMatchObject({ code: 'LOCK_LOST', key: 'signal' });
    expect(() => leases[2].assertHeld()).toThrow(expect.objectContaining({ code: 'LOCK_LOST' }));
  },
);

test('a renewal that was begun before the block does not bring a lost lease back', {
  tags: ['F06'],
}, async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  const ttl = 1_000;
  const lease = await fencepost.leases.acquire('a', { ttl });
  const { signal } = lease;
  const renewing = lease.renew();
  block(ttl);
  await expect(renewing).rejects.toMatchObject({ code: 'LOCK_LOST' });
  expect(lease.state).toBe('lost');
  await until('the signal that was put aside', () => signal.aborted);
});

test('nothing renews a holder that was lost', { tags: ['F06', 'F24'] }, async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  const ttl = 1_000;
  const lease = await fencepost.leases.acquire('a', { ttl });
  const [holder] = await database.query<{ id: string }>('select id from fencepost.holders');
  block(ttl);
  expect(lease.state).toBe('lost');
  const beatsAfter = async (): Promise<number> => {
    const rows = await database.query<{ beats: number }>(
      `select count(*)::int as beats from fencepost.holder where id = $1 and expires_at > clock_timestamp()`,
      [holder?.id],
    );
    return rows[0]?.beats ?? 0;
  };
  // Long enough for many heartbeats, had there been any.
  await using _other = await fencepost.leases.acquire('b', { ttl: '30s' });
  await delay(ttl);
  expect(await beatsAfter()).toBe(0);
});
