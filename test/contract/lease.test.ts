import { setTimeout as delay } from 'node:timers/promises';
import { ArgumentError, Fencepost, type Lease, LockTimeoutError, StateError } from 'fencepost';
import pg from 'pg';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { heldOnServer } from '../support/grants.ts';
import { startProxy } from '../support/proxy.ts';
import { openPg } from '../support/transactions.ts';
import { until } from '../support/until.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

beforeEach(async () => {
  expect(await heldOnServer(database)).toEqual([]);
});

const open = (connection: string | pg.Pool | pg.PoolConfig = database.url) => new Fencepost({ connection });

async function sessionsOfFencepost(): Promise<number> {
  const rows = await database.query(
    `select from pg_stat_activity where datname = current_database() and application_name = 'fencepost'`,
  );
  return rows.length;
}

/** Kept alive by the heartbeat, and with a term of its own: the same promises. */
describe.each([{ renew: true }, { renew: false }])('a lease with renew: $renew', ({ renew }) => {
  const options = { ttl: '10s', renew } as const;

  test('excludes other processes and other callers of its own until it is released', async () => {
    await using one = open();
    await using other = open();
    const lease = await one.leases.acquire('a', options);
    expect([lease.key, lease.state]).toEqual(['a', 'held']);
    expect(await other.leases.tryAcquire('a', options)).toBeNull();
    expect(await one.leases.tryAcquire('a', options)).toBeNull();
    expect(await one.leases.tryAcquire('a', { ...options, renew: !renew })).toBeNull();
    expect(await one.leases.tryAcquire('a', { ttl: '11s' })).toBeNull();
    await lease.release();
    await using next = await other.leases.acquire('a', options);
    expect(next.token > lease.token).toBe(true);
  });

  test('is granted to every caller in turn, with rising tokens', async () => {
    await using one = open();
    await using other = open();
    const tokens: bigint[] = [];
    let inside = 0;
    await Promise.all(
      [one, other, one, other, one, other].map((fencepost) =>
        fencepost.leases.using('a', options, async (lease) => {
          inside += 1;
          expect(inside).toBe(1);
          tokens.push(lease.token);
          await lease.renew();
          inside -= 1;
        }),
      ),
    );
    expect(tokens).toEqual([...tokens].sort((a, b) => (a < b ? -1 : 1)));
    expect(new Set(tokens).size).toBe(6);
  });

  test('is released once, however often and by how many', async () => {
    await using one = open();
    await using other = open();
    const lease = await one.leases.acquire('a', options);
    await Promise.all([lease.release(), lease.release(), lease[Symbol.asyncDispose]()]);
    await using next = await other.leases.acquire('a', options);
    await lease.release();
    expect([lease.state, lease.signal.aborted]).toEqual(['released', false]);
    expect(() => lease.assertHeld()).toThrow(StateError);
    await expect(lease.renew()).rejects.toThrow(StateError);
    expect(await heldOnServer(database)).toEqual([`a ${next.token}`]);
  });

  test('is released at the end of an await using block and of using, whatever happened in there', async () => {
    await using fencepost = open();
    const failure = new Error('of the work');
    expect(await fencepost.leases.using('a', options, async (lease) => lease.state)).toBe('held');
    await expect(fencepost.leases.using('a', options, () => Promise.reject(failure))).rejects.toBe(failure);
    expect(await fencepost.leases.using('a', async ({ token }) => typeof token)).toBe('bigint');
    {
      await using _lease = await fencepost.leases.acquire('a', options);
      expect(await heldOnServer(database)).toHaveLength(1);
    }
    expect(await heldOnServer(database)).toEqual([]);
  });

  test('times out with the key and the time that was waited, and holds nothing', async () => {
    await using one = open();
    await using other = open();
    await using _lease = await one.leases.acquire({ tenant: 't', name: ['a', 7] }, options);
    const waiting = other.leases.acquire({ tenant: 't', name: ['a', 7] }, { ...options, wait: '50ms' });
    const error = await waiting.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LockTimeoutError);
    expect(error).toMatchObject({ code: 'LOCK_TIMEOUT', key: 't/["a","7"]', retriable: true });
    expect((error as LockTimeoutError).waited).toBeGreaterThanOrEqual(50);
    expect(await other.leases.tryAcquire({ tenant: 't', name: ['a', 7] }, { wait: '20ms' })).toBeNull();
    expect(await heldOnServer(database)).toHaveLength(1);
  });

  test('is held by nobody when the signal aborts at the moment of the grant, whenever that is', async () => {
    await using fencepost = open();
    await (await fencepost.leases.acquire('a', options)).release();
    const reason = new Error('enough');
    let granted = 0;
    for (let round = 0; round < 60; round += 1) {
      const controller = new AbortController();
      const acquiring = fencepost.leases.acquire('a', { ...options, signal: controller.signal });
      const outcome = acquiring.then(
        (lease) => lease,
        (error: unknown) => error,
      );
      // From before it is sent until after its answer.
      for (let turn = 0; turn < round % 20; turn += 1) await new Promise(setImmediate);
      controller.abort(reason);
      const result = await outcome;
      if (result === reason) continue;
      granted += 1;
      await (result as Lease).release();
    }
    expect(await heldOnServer(database)).toEqual([]);
    expect(granted).toBeLessThan(60);
  });

  test('is of its tenant: the same name under another is another lease', async () => {
    await using fencepost = open();
    const keys = [
      'a',
      { tenant: 't1', name: 'a' },
      { tenant: 't2', name: 'a' },
      { tenant: '', name: 'b' },
      ['a', 'a'],
    ];
    const leases = await Promise.all(keys.map((key) => fencepost.leases.tryAcquire(key, options)));
    expect(leases.map((lease) => lease?.key)).toEqual(['a', 't1/a', 't2/a', 'b', '["a","a"]']);
    expect(leases.map((lease) => lease?.tenant)).toEqual(['', 't1', 't2', '', '']);
    expect(await fencepost.leases.tryAcquire({ name: 'a' }, options)).toBeNull();
    expect(await fencepost.leases.tryAcquire({ tenant: 't2', name: ['a'] }, options)).toBeNull();
    await Promise.all(leases.map((lease) => lease?.release()));
  });

  test('is gone when its Fencepost closes: released, and free for others at once', async () => {
    const one = open();
    await using other = open();
    const lease = await one.leases.acquire('a', options);
    await one.close();
    expect(lease.state).toBe('released');
    await using _next = await other.leases.acquire('a', { ...options, wait: '1s' });
    await lease.release();
  });
});

test('a lease without a renewal expires, and with renew() it gets another ttl', async () => {
  await using one = open();
  await using other = open();
  const lease = await one.leases.acquire('a', { ttl: 400, renew: false });
  const lost = new Promise((resolve) =>
    lease.signal.addEventListener('abort', () => resolve(lease.signal.reason)),
  );
  await delay(250);
  await lease.renew();
  await delay(250);
  expect(lease.state).toBe('held');
  const waiting = other.leases.acquire('a', { ttl: '10s', wait: '10s' });
  expect(await lost).toMatchObject({ code: 'LOCK_LOST', key: 'a', reason: 'expired', retriable: true });
  expect(lease.state).toBe('lost');
  await expect(lease.renew()).rejects.toMatchObject({ code: 'LOCK_LOST' });
  await using next = await waiting;
  await lease.release();
  next.assertHeld();
});

test('a lease with a fixed term can be given a longer one and a shorter one', async () => {
  await using one = open();
  await using other = open();
  const lease = await one.leases.acquire('a', { ttl: 400, renew: false });
  await lease.renew({ ttl: '1h' });
  const expiry = async (): Promise<number> => {
    const [held] = await one.inspect.leases();
    return (held?.expiresAt.getTime() ?? 0) - Date.now();
  };
  expect(await expiry()).toBeGreaterThan(3_000_000);
  await lease.renew({ ttl: 300 });
  expect(await expiry()).toBeLessThan(10_000);
  await using _next = await other.leases.acquire('a', { wait: '10s' });
  expect(lease.state).toBe('lost');
});

test('a shorter term counts from when it is asked for, whether the answer comes or not', async () => {
  await using proxy = await startProxy(database.url);
  await using one = open(proxy.url);
  await using other = open();
  const lease = await one.leases.acquire('a', { ttl: '1h', renew: false });
  proxy.tap = ({ direction, about }) => (direction === 'answer' && about('lease_renew') ? 'freeze' : 'pass');
  lease.renew({ ttl: 300 }).catch(() => {});
  await using _next = await other.leases.acquire('a', { wait: '10s' });
  expect(lease.state).toBe('lost');
  proxy.cut();
});

test('a lease that lives on its heartbeat has no ttl to give', async () => {
  await using one = open();
  await using lease = await one.leases.acquire('a', { ttl: '1m' });
  await expect(lease.renew({ ttl: '2m' })).rejects.toMatchObject({
    code: 'ARGUMENT',
    argument: 'options.ttl',
  });
  await lease.renew({ ttl: '1m' });
});

test('a lease outlives many times its ttl on the heartbeat alone', async () => {
  await using one = open();
  await using other = open();
  await using lease = await one.leases.acquire('a', { ttl: 250 });
  expect(await other.leases.tryAcquire('a', { ttl: 250, wait: 1_000 })).toBeNull();
  expect(lease.state).toBe('held');
});

test('a lease is lost as soon as the server says so, with a signal that tells, and nothing to release', async () => {
  await using one = open();
  await using other = open();
  const lease = await one.leases.acquire('a', { ttl: '1h' });
  const second = await one.leases.acquire('b', { ttl: '1h' });
  const { signal } = lease;
  await database.query('delete from fencepost.holder');
  await expect(second.renew()).rejects.toMatchObject({ code: 'LOCK_LOST', key: 'b', reason: 'expired' });
  expect([signal.aborted, lease.signal === signal, lease.state]).toEqual([true, true, 'lost']);
  expect(signal.reason).toMatchObject({ name: 'LockLostError', code: 'LOCK_LOST', key: 'a' });
  await using next = await other.leases.acquire('a', { ttl: '10s' });
  await Promise.all([lease.release(), second.release()]);
  expect(await heldOnServer(database)).toEqual([`a ${next.token}`]);
});

test('after close every call is refused, waits end, and no connection is left', async () => {
  await using holder = open();
  await using _held = await holder.leases.acquire('held', { ttl: '10s' });
  const fencepost = open();
  await fencepost.leases.acquire('a', { ttl: '10s' });
  const waiting = [
    fencepost.leases.acquire('held', { ttl: '10s' }),
    fencepost.leases.tryAcquire('held', { ttl: '10s', renew: false, wait: '1m' }),
    fencepost.leases.using('held', async () => {}),
  ].map((call) => call.catch((error: unknown) => error));
  await delay(20);
  await Promise.all([fencepost.close(), fencepost.close(), fencepost[Symbol.asyncDispose]()]);
  for (const outcome of waiting) expect(await outcome).toBeInstanceOf(StateError);
  for (const renew of [true, false]) {
    await expect(fencepost.leases.acquire('b', { renew })).rejects.toThrow(StateError);
    await expect(fencepost.leases.tryAcquire('b', { renew })).rejects.toThrow(StateError);
  }
  expect(await heldOnServer(database)).toHaveLength(1);
  await holder.close();
  await until('no session of ours', async () => (await sessionsOfFencepost()) === 0);
});

test('a Fencepost that was never used opens nothing, and closes', async () => {
  const fencepost = open('postgresql://nobody@127.0.0.1:1/nothing');
  await fencepost.close();
  await expect(fencepost.leases.acquire('a')).rejects.toThrow(StateError);
});

test('a closed Fencepost leaves no connection, even when it is closed while it opens them', async () => {
  for (const turns of [0, 1, 3, 10, 30]) {
    const fencepost = open();
    const acquiring = fencepost.leases.tryAcquire('a', { ttl: '10s' }).catch(() => null);
    for (let turn = 0; turn < turns; turn += 1) await new Promise(setImmediate);
    await fencepost.close();
    await acquiring;
  }
  await until('no session of ours', async () => (await sessionsOfFencepost()) === 0);
  expect(await heldOnServer(database)).toEqual([]);
});

test('one process has one connection for heartbeats and two for all acquires and releases', async () => {
  await using fencepost = open();
  const leases = await Promise.all(
    Array.from({ length: 500 }, (_, call) =>
      fencepost.leases.acquire(`many ${call}`, { renew: call % 2 > 0 }),
    ),
  );
  expect(await sessionsOfFencepost()).toBeLessThanOrEqual(3);
  expect(await database.query('select from fencepost.holders')).toHaveLength(1);
  await Promise.all(leases.map((lease) => lease.release()));
});

test('a pg.Pool lends its configuration, password included, and none of its connections', async () => {
  const { hostname, port, username, password } = new URL(database.url);
  const settings = { host: hostname, port: Number(port), user: username, password, database: database.name };
  const pool = new pg.Pool({ ...settings, max: 1 });
  const busy = await pool.connect();
  const original = pg.types.getTypeParser(20);
  // As many applications do: then a token read by the global parsers would lose its last digits.
  pg.types.setTypeParser(20, Number);
  try {
    for (const connection of [pool, settings, { connectionString: database.url }]) {
      await database.query('update fencepost.state set token_floor = 9007199254740993');
      await using fencepost = open(connection);
      await using lease = await fencepost.leases.acquire('a', { ttl: '10s' });
      const [row] = await database.query<{ token: string }>(
        'select token::text from fencepost.leases where held',
      );
      expect(typeof lease.token).toBe('bigint');
      expect(lease.token).toBe(BigInt(row?.token ?? 0));
      expect(lease.token > 2n ** 53n).toBe(true);
      await busy.query('begin');
      await lease.guard(busy);
      await busy.query('commit');
    }
    expect(pool.totalCount).toBe(1);
  } finally {
    pg.types.setTypeParser(20, original);
    busy.release();
    await pool.end();
  }
});

test('a database that cannot be reached is an error of every call, not an absent lock', async () => {
  await using fencepost = open('postgresql://nobody@127.0.0.1:1/nothing');
  const unreachable = { code: 'DATABASE', retriable: true, inDoubt: false };
  await expect(fencepost.leases.acquire('a')).rejects.toMatchObject(unreachable);
  await expect(fencepost.leases.tryAcquire('a', { renew: false })).rejects.toMatchObject(unreachable);
});

test.each([
  { what: 'an unknown option', key: 'a', options: { tll: '1s' }, says: /tll.*did you mean 'ttl'/ },
  { what: 'a ttl that is too short', key: 'a', options: { ttl: '49ms' }, says: /options.ttl: expected/ },
  {
    what: 'a ttl that is no duration',
    key: 'a',
    options: { ttl: 'soon' },
    says: /options.ttl: expected .*'soon'/,
  },
  { what: 'a negative wait', key: 'a', options: { wait: -1 }, says: /options.wait: expected/ },
  {
    what: 'a renew that is no boolean',
    key: 'a',
    options: { renew: 'no' },
    says: /options.renew: expected true/,
  },
  { what: 'no signal', key: 'a', options: { signal: {} }, says: /options.signal: expected an AbortSignal/ },
  { what: 'an empty list as key', key: [], options: {}, says: /key: expected/ },
  {
    what: 'a name that is too long',
    key: 'x'.repeat(1_025),
    options: {},
    says: /key: expected at most 1024 bytes/,
  },
  { what: 'an unknown part of the key', key: { nme: 'a' }, options: {}, says: /nme.*did you mean 'name'/ },
  {
    what: 'a tenant that is too long',
    key: { tenant: 'x'.repeat(256), name: 'a' },
    options: {},
    says: /key.tenant/,
  },
])('$what is refused before anything is sent', async ({ key, options, says }) => {
  await using fencepost = open('postgresql://nobody@127.0.0.1:1/nothing');
  const calls = [
    fencepost.leases.acquire(key as never, options as never),
    fencepost.leases.tryAcquire(key as never, options as never),
  ];
  for (const call of calls) {
    const error = await call.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ArgumentError);
    expect(String(error)).toMatch(says);
  }
});

test('a waiter asks rarely, also while only an open guard of a dead holder is in its way', async () => {
  await using proxy = await startProxy(database.url);
  await using one = open();
  await using other = open(proxy.url);
  const lease = await one.leases.acquire('guarded', { ttl: '10s' });
  let asked = 0;
  proxy.tap = ({ direction, about }) => {
    if (direction === 'request' && about('lease_acquire')) asked += 1;
    return 'pass';
  };
  expect(await other.leases.tryAcquire('guarded', { ttl: '10s', wait: 600 })).toBeNull();
  const whileHeld = asked;
  asked = 0;
  const { trx, commit } = await openPg(database.pool, 'read committed');
  await lease.guard(trx);
  await database.query(
    `update fencepost.holder set expires_at = clock_timestamp() - interval '1 second'
     where id = (select holder_id from fencepost.lease where name = 'guarded')`,
  );
  expect(await other.leases.tryAcquire('guarded', { ttl: '10s', wait: 600 })).toBeNull();
  await commit();
  expect([whileHeld < 20, asked < 20]).toEqual([true, true]);
});
