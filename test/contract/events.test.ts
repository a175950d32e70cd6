import { inspect } from 'node:util';
import { ArgumentError, Fencepost, LockTimeoutError, StaleTokenError } from 'fencepost';
import { type Listeners, listen } from 'fencepost/events';
import type { PoolClient } from 'pg';
import { afterAll, expect, test } from 'vitest';
import { Acquisition } from '../../src/core/acquisition.ts';
import { queued } from '../support/advisory.ts';
import { createDatabase } from '../support/database.ts';
import { createJobs, insertJobs, jobsOf } from '../support/jobs.ts';
import { record } from '../support/recorder.ts';
import { until } from '../support/until.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

const open = () => new Fencepost({ connection: database.url });

/** A client in a transaction, which is rolled back at the end. */
async function begin(): Promise<{ client: PoolClient } & AsyncDisposable> {
  const client = await database.pool.connect();
  await client.query('begin');
  const end = async (): Promise<void> => {
    await client.query('rollback');
    client.release();
  };
  return { client, [Symbol.asyncDispose]: end };
}

test('a session lock that is free is acquired, granted and released', async () => {
  await using fencepost = open();
  using told = record();
  const lock = await fencepost.advisory.acquire(['invoice', 7], { wait: '5s', mode: 'shared' });
  await lock.release();
  const subject = {
    kind: 'session-lock',
    key: '["invoice","7"]',
    family: 'invoice',
    tenant: '',
    mode: 'shared',
  };
  expect(told.order('acquire', 'wait', 'grant', 'release')).toEqual([
    'acquire start',
    'grant at',
    'acquire asyncEnd',
    'release start',
    'release asyncEnd',
  ]);
  expect(told.of('acquire')).toEqual([{ ...subject, wait: 5_000, waited: 0, outcome: 'granted' }]);
  const holder = expect.stringMatching(/^\d+$/);
  expect(told.of('grant')).toEqual([{ ...subject, token: undefined, holder, waited: 0 }]);
  expect(told.of('release')).toEqual([{ ...subject, token: undefined, holder, how: 'released' }]);
  expect(told.all.filter(({ handle }) => handle === lock)).toHaveLength(3);
});

test('waits are told, behind others of the process and of other processes, and how they end', async () => {
  await using one = open();
  await using other = open();
  const held = await one.advisory.acquire('shop:7');
  using told = record();
  const behind = one.advisory.acquire('shop:7');
  const beyond = other.advisory.acquire('shop:7');
  await queued(database);
  await expect(other.advisory.acquire('shop:7', { wait: 200 })).rejects.toThrow(LockTimeoutError);
  expect(await other.advisory.tryAcquire('shop:7')).toBeNull();
  await held.release();
  // Which of the two comes first is up to the server.
  await Promise.all([behind, beyond].map(async (lock) => (await lock).release()));
  const waits = told.of('wait');
  const outcomes = waits.map(({ where, granted }) => `${where} ${granted}`);
  expect(outcomes).toEqual(expect.arrayContaining(['process true', 'server true', 'process false']));
  expect(told.of('acquire').map(({ family, outcome }) => [family, outcome])).toEqual([
    ['shop', 'timeout'],
    ['shop', 'refused'],
    ['shop', 'granted'],
    ['shop', 'granted'],
  ]);
  for (const { waited } of told.of('grant')) expect(waited).toBeGreaterThan(0);
});

test('the end of a session is told, and with it each loss', async () => {
  await using fencepost = open();
  using told = record();
  const lock = await fencepost.advisory.acquire(12n);
  const [{ holder } = {}] = told.of('grant');
  await database.query('select pg_terminate_backend($1)', [holder]);
  await until('it is lost', () => lock.signal.aborted);
  await lock.release();
  const facts = { kind: 'session-lock', key: '#12', family: '#', reason: 'connection', holder };
  expect(told.of('loss')).toMatchObject([{ ...facts, cause: expect.any(Error) }]);
  expect(told.of('release')).toEqual([]);
  const ofIt = told.of('session').filter(({ pid }) => String(pid) === holder);
  expect(ofIt).toMatchObject([
    { change: 'opened', purpose: 'locks', pooled: false },
    { change: 'lost', purpose: 'locks', error: expect.any(Error) },
  ]);
});

test('a transaction lock is acquired and granted; no more is known of it', async () => {
  await using fencepost = open();
  await using trx = await begin();
  await using second = await begin();
  using told = record();
  await fencepost.transaction(trx.client).acquire(['invoice', 1]);
  expect(await fencepost.transaction(second.client).tryAcquire(['invoice', 1])).toBe(false);
  const subject = { kind: 'transaction-lock', family: 'invoice', mode: 'exclusive' };
  expect(told.of('acquire')).toMatchObject([
    { ...subject, wait: Infinity, outcome: 'granted' },
    { ...subject, wait: 0, outcome: 'refused' },
  ]);
  expect(told.of('grant')).toMatchObject([{ ...subject, token: undefined, holder: undefined }]);
  expect(told.order('acquire', 'grant').slice(0, 3)).toEqual([
    'acquire start',
    'grant at',
    'acquire asyncEnd',
  ]);
});

test('a lease is acquired, granted, renewed, guarded and released', async () => {
  await using fencepost = open();
  await using trx = await begin();
  using told = record();
  const lease = await fencepost.leases.acquire({ tenant: 't1', name: ['import', 3] });
  await lease.renew();
  await lease.guard(trx.client);
  await lease.release();
  await using later = await begin();
  await expect(lease.guard(later.client)).rejects.toThrow(StaleTokenError);
  const holder = expect.stringMatching(/^[0-9a-f-]{36}$/);
  const subject = {
    kind: 'lease',
    key: 't1/["import","3"]',
    family: 'import',
    tenant: 't1',
    mode: 'exclusive',
  };
  const held = { ...subject, token: lease.token, holder };
  expect(told.of('acquire')).toEqual([{ ...subject, wait: Infinity, waited: 0, outcome: 'granted' }]);
  expect(told.of('grant')).toEqual([{ ...held, waited: 0 }]);
  const beats = told.of('renew').filter(({ of }) => of === 'holder');
  // On a slow machine it was renewed before it was handed out, too.
  expect(beats.at(-1)).toMatchObject({ holder, ttl: 30_000, alive: true });
  expect(told.of('guard')).toEqual([held, { ...held, error: expect.any(StaleTokenError) }]);
  expect(told.of('guard', 'error')).toHaveLength(1);
  expect(told.of('release')).toEqual([{ ...held, how: 'released' }]);
  expect(told.of('batch').map(({ statement, calls }) => [statement, calls])).toEqual(
    expect.arrayContaining([
      ['lease_acquire', 1],
      ['lease_release', 1],
    ]),
  );
});

test('a lease that is revoked is a loss; waiting for one is told', async () => {
  await using one = open();
  await using other = open();
  using told = record();
  const lease = await one.leases.acquire('export', { mode: 'shared', ttl: '3s' });
  const waiting = other.leases.acquire('export');
  await until('somebody waits', () => told.of('wait', 'start').length > 0);
  await other.leases.revoke('export', { token: lease.token });
  await (await waiting).release();
  await until('it is lost', () => lease.signal.aborted);
  expect(told.of('loss')).toMatchObject([
    { kind: 'lease', key: 'export', mode: 'shared', token: lease.token, reason: 'revoked' },
  ]);
  expect(told.of('wait')).toMatchObject([{ where: 'server', granted: true, mode: 'exclusive' }]);
});

test('a lease with a term of its own is renewed by itself, and one that is handed over tells no secret', async () => {
  await using one = open();
  await using other = open();
  using told = record();
  const lease = await one.leases.acquire('ship', { renew: false, ttl: '20s' });
  await lease.renew({ ttl: '1m' });
  const text = await lease.handOver();
  const resumed = await other.leases.resume(text);
  await resumed.release();
  expect(told.of('renew')).toMatchObject([{ of: 'lease', key: 'ship', ttl: 60_000, lag: 0, alive: true }]);
  expect(told.of('release').map(({ how }) => how)).toEqual(['handed over', 'released']);
  expect(told.of('grant').map(({ token }) => token)).toEqual([lease.token, resumed.token]);
  const [secret = ''] = JSON.parse(Buffer.from(text, 'base64url').toString());
  const { password } = new URL(database.url);
  const all = inspect(told.all, { depth: 6 });
  expect(all).not.toContain(secret);
  expect(all).not.toContain(text);
  if (password !== '') expect(all).not.toContain(password);
});

test('an election says that it is one', async () => {
  await using fencepost = open();
  using told = record();
  const over = new AbortController();
  await fencepost.elections.campaign('scheduler', { signal: over.signal }, async () => over.abort());
  for (const name of ['acquire', 'grant', 'release']) {
    expect(told.of(name), name).toMatchObject([{ kind: 'election', family: 'scheduler' }]);
  }
});

test('claims are made, granted and settled, and lost', async () => {
  await using fencepost = open();
  await createJobs(database);
  const jobs = jobsOf(fencepost, database.pool, { ttl: 3_000, maxAttempts: 1 });
  await jobs.ensure();
  await insertJobs(database, 4);
  using told = record();
  const [first, second, third, fourth] = await jobs.claim({ limit: 10 });
  await first?.complete(async () => {});
  await second?.fail('no use');
  await third?.release();
  expect(told.of('claim')).toEqual([
    { kind: 'claim', table: 'public.job', family: 'public.job', limit: 10, claimed: 4 },
  ]);
  expect(told.of('grant').map(({ key, family }) => [key, family])).toEqual(
    [1, 2, 3, 4].map((id) => [`"public"."job" ${id}`, 'public.job']),
  );
  expect(told.of('settle').map(({ outcome, attempt }) => [outcome, attempt])).toEqual([
    ['completed', 1],
    ['failed', 1],
    ['released', 1],
  ]);
  expect(told.of('release')).toEqual([]);
  await database.query("update fencepost.holder set expires_at = '2000-01-01'");
  await until('it is lost', () => fourth?.signal.aborted);
  expect(told.of('loss')).toMatchObject([
    { kind: 'claim', family: 'public.job', token: fourth?.token, reason: 'expired' },
  ]);
});

test('nothing is looked at once nobody listens any more, and one channel does not wake the others', async () => {
  await using fencepost = open();
  expect(Acquisition.wanted).toBe(false);
  {
    using _losses = listen({ loss: () => {} });
    expect(Acquisition.wanted).toBe(false);
    using _grants = listen({ grant: () => {} });
    expect(Acquisition.wanted).toBe(true);
  }
  expect(Acquisition.wanted).toBe(false);
  using told = record();
  told[Symbol.dispose]();
  await (await fencepost.leases.acquire('quiet')).release();
  expect(told.all).toEqual([]);
});

test.each([
  [{ grants: () => {} }, "unknown option 'grants'; did you mean 'grant'?"],
  [{ grant: 'log' }, "listeners.grant: expected a function, got 'log'"],
  [{ acquire: () => {} }, 'listeners.acquire: expected an object of options'],
  [{ acquire: { ended: () => {} } }, 'listeners.acquire: expected only start, end,'],
])('listeners that nothing would call are refused: %o', (listeners, message) => {
  expect(() => listen(listeners as Listeners)).toThrow(ArgumentError);
  expect(() => listen(listeners as Listeners)).toThrow(message);
  expect(Acquisition.wanted).toBe(false);
});
