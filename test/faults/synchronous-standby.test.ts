// @module-tag F32
import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseError, Fencepost } from 'fencepost';
import pg from 'pg';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { type OwnServer, startOwnServer } from '../support/postmaster.ts';
import { startStandby } from '../support/standby.ts';
import { until } from '../support/until.ts';

const primary = await startOwnServer({ fsync: false, postgresFlags: ['-c', 'wal_level=replica'] });
const standby = await startStandby(primary);
let running = true;
afterAll(async () => {
  await standby[Symbol.asyncDispose]();
  await primary[Symbol.asyncDispose]();
});

beforeEach(async () => {
  if (!running) await standbyUp();
  await setStandbys(primary, standby.name);
});

/** Each statement by its name, as often as it waits for the standby: the wait is cancelled, the commit stays. */
async function cancelWaits(times: number, statement: string): Promise<void> {
  for (let done = 0; done < times; done += 1) {
    await until(`${statement} waits for the standby`, async () => {
      const rows = await quietly(
        `select pg_cancel_backend(pid) from pg_stat_activity
         where wait_event = 'SyncRep' and query like '%' || $1 || '%' and pid <> pg_backend_pid()`,
        [statement],
      );
      return rows.length > 0;
    });
  }
}

async function standbyDown(): Promise<void> {
  await standby.stop();
  running = false;
}

async function standbyUp(): Promise<void> {
  await standby.start();
  running = true;
  await until('a synchronous standby', async () => {
    const rows = await quietly(
      `select from pg_stat_replication where application_name = $1 and state = 'streaming'`,
      [standby.name],
    );
    return rows.length === 1;
  });
}

function quietly(text: string, values: unknown[] = []): Promise<pg.QueryResultRow[]> {
  return primary.query(text, values);
}

async function setStandbys(server: OwnServer, names: string): Promise<void> {
  await server.query(`alter system set synchronous_standby_names = '${names}'`);
  await server.query('select pg_reload_conf()');
  await until('the setting', async () => {
    const [row] = await server.query('show synchronous_standby_names');
    return row?.synchronous_standby_names === names;
  });
}

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    (value) => new Error(`expected a rejection, got ${value}`),
    (error: unknown) => error,
  );
}

const unreplicated = {
  name: 'DatabaseError',
  code: 'DATABASE',
  retriable: true,
  message: expect.stringMatching(
    / is committed on the primary, and not known to be on its synchronous standby/,
  ),
};

test('Postgres reports a commit whose wait was cancelled as a success, with a warning in the language of the server', async () => {
  const client = new pg.Client({ connectionString: primary.url });
  await client.connect();
  const notices: pg.DatabaseError[] = [];
  client.on('notice', (notice) => notices.push(notice as unknown as pg.DatabaseError));
  await standbyDown();
  const writing = client.query('create table public.kept ()');
  await cancelWaits(1, 'public.kept');
  await writing;
  expect(notices).toMatchObject([{ severity: 'WARNING', code: '01000', routine: 'SyncRepWaitForLSN' }]);
  expect(await quietly('select from public.kept')).toEqual([]);
  await client.end();
});

test.each([true, false])('an acquire with renew %s is rejected then, and given back', async (renew) => {
  await using fencepost = new Fencepost({ connection: primary.url });
  const name = `rejected ${renew}`;
  const options = { ttl: '20s', renew } as const;
  // Its holder is there, and the standby knows it.
  await using first = await fencepost.leases.acquire('first', options);
  await standbyDown();
  const acquiring = errorOf(fencepost.leases.acquire(name, options));
  await cancelWaits(1, 'lease_acquire');
  const error = await acquiring;
  expect(error).toBeInstanceOf(DatabaseError);
  expect(error).toMatchObject(unreplicated);
  // The way back waits for the standby as well, and whoever asks again gets another token.
  const rows = await quietly('select token, held from fencepost.leases where name = $1', [name]);
  await standbyUp();
  await using next = await fencepost.leases.acquire(name, { ...options, wait: '10s' });
  expect(next.token).toBeGreaterThan(BigInt(rows[0]?.token));
  expect(first.state).toBe('held');
});

test('what was refused in the same statement is refused, and nothing else', async () => {
  await using one = new Fencepost({ connection: primary.url });
  await using other = new Fencepost({ connection: primary.url });
  await using taken = await one.leases.acquire('taken', { ttl: '20s' });
  await (await other.leases.acquire('free', { ttl: '20s' })).release();
  await standbyDown();
  const refused = other.leases.tryAcquire('taken', { ttl: '20s' });
  const granted = errorOf(other.leases.tryAcquire('free', { ttl: '20s' }));
  await cancelWaits(1, 'lease_acquire');
  expect(await refused).toBeNull();
  expect(await granted).toMatchObject(unreplicated);
  expect(taken.state).toBe('held');
  await standbyUp();
});

test('a lost answer is resolved into a grant only once the standby has it', async () => {
  await using fencepost = new Fencepost({ connection: primary.url });
  await (await fencepost.leases.acquire('ended', { ttl: '20s' })).release();
  await standbyDown();
  const acquiring = fencepost.leases.acquire('ended', { ttl: '20s' });
  let settled = false;
  acquiring.then(
    () => (settled = true),
    () => (settled = true),
  );
  await until('the acquire waits', async () => {
    const rows = await quietly(
      `select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'SyncRep' and query like '%lease_acquire%'`,
    );
    return rows.length > 0;
  });
  await cancelWaits(2, 'holder_fence');
  await delay(200);
  expect(settled).toBe(false);
  await standbyUp();
  await using lease = await acquiring;
  const rows = await standby.query('select token from fencepost.leases where name = $1 and held', ['ended']);
  expect(rows).toEqual([{ token: String(lease.token) }]);
});

test('a heartbeat counts as unanswered, and a release as done', async () => {
  await using fencepost = new Fencepost({ connection: primary.url });
  const ttl = 3_000;
  const lease = await fencepost.leases.acquire('beating', { ttl });
  const other = await fencepost.leases.acquire('released', { ttl: '20s' });
  await standbyDown();
  const releasing = other.release();
  const waits = cancelWaits(1, 'lease_release');
  let beats = 0;
  const cancelBeats = (async () => {
    while (lease.state !== 'lost') {
      const rows = await quietly(
        `select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep' and query like '%holder_beat%'`,
      );
      beats += rows.length;
    }
  })();
  await Promise.all([waits, releasing]);
  expect(other.state).toBe('released');
  await until('a doubt', () => lease.state === 'doubtful');
  await cancelBeats;
  // Each of them was a success, as far as the primary goes.
  expect(beats).toBeGreaterThan(2);
  expect(await quietly(`select from fencepost.leases where name = 'beating' and held`)).toHaveLength(1);
  await standbyUp();
});

test('who waits is woken before a release is on the standby, and neither is believed before it is', async () => {
  await using fencepost = new Fencepost({ connection: primary.url });
  await using other = new Fencepost({ connection: primary.url });
  const lease = await fencepost.leases.acquire('woken', { ttl: '30s' });
  const waiting = other.leases.acquire('woken', { ttl: '30s', wait: '60s' });
  await until('somebody who waits', async () => {
    const rows = await quietly(`select from fencepost.lease where name = 'woken' and wanted`);
    return rows.length === 1;
  });
  await standbyDown();
  const settled: string[] = [];
  const releasing = lease.release().then(() => settled.push('released'));
  const granting = waiting.then((next) => {
    settled.push('granted');
    return next;
  });
  for (const statement of ['flush', 'lease_acquire'])
    await until(`${statement} waits for the standby`, async () => {
      const rows = await quietly(
        `select from pg_stat_activity where wait_event = 'SyncRep' and query like '%.' || $1 || '(%'`,
        [statement],
      );
      return rows.length === 1;
    });
  expect(settled).toEqual([]);
  await standbyUp();
  await releasing;
  await using next = await granting;
  const rows = await standby.query(`select token from fencepost.leases where name = 'woken' and held`);
  expect(rows).toEqual([{ token: String(next.token) }]);
});

test('a token for a session lock is not handed out', async () => {
  await using fencepost = new Fencepost({ connection: primary.url });
  await using first = await fencepost.advisory.acquire('fenced', { fence: true });
  await first.release();
  await standbyDown();
  const acquiring = errorOf(fencepost.advisory.acquire('fenced', { fence: true }));
  await cancelWaits(1, 'fence_token');
  expect(await acquiring).toMatchObject(unreplicated);
  expect(await quietly(`select from pg_locks where locktype = 'advisory'`)).toEqual([]);
  await standbyUp();
  await using next = await fencepost.advisory.acquire('fenced', { fence: true });
  expect(next.token).toBeGreaterThan(first.token + 1n);
});
