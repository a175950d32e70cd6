import { DatabaseError, Fencepost, LimitError, StandbyError } from 'fencepost';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { startEmbedded } from '../servers/embedded.ts';
import { queued } from '../support/advisory.ts';
import { connect, failure, heldKeys } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { createRole } from '../support/role.ts';
import { until } from '../support/until.ts';

const database = await createDatabase({ template: false });
const fencepost = new Fencepost({ connection: database.url });
afterAll(async () => {
  await fencepost.close();
  await database[Symbol.asyncDispose]();
});

test('a statement_timeout that ends the wait is told as such, and the transaction is usable', {
  tags: ['F14'],
}, async () => {
  await using clients = await connect(database, 2);
  const [holder, client] = clients;
  await holder.query('begin; select pg_advisory_xact_lock(1)');
  await client.query(`begin; set local statement_timeout = '30ms'; select pg_advisory_xact_lock(2)`);
  const locks = fencepost.transaction(client);
  for (const options of [{}, { wait: '1m' }, { signal: new AbortController().signal }] as const) {
    const refused = await failure(locks.acquire(1n, options));
    expect(refused).toBeInstanceOf(DatabaseError);
    expect(refused).toMatchObject({
      sqlState: '57014',
      message: expect.stringContaining('statement timeout'),
    });
  }
  expect(await heldKeys(client)).toEqual([2]);
  expect((await client.query('commit')).command).toBe('COMMIT');
});

test('somebody else who cancels the wait gets an error out of it, and the transaction is usable', async () => {
  await using clients = await connect(database, 2);
  const [holder, client] = clients;
  await holder.query('begin; select pg_advisory_xact_lock(1)');
  await client.query('begin');
  const refused = failure(fencepost.transaction(client).acquire(1n));
  const [waiter] = await queued(database);
  await database.query('select pg_cancel_backend($1)', [waiter?.pid]);
  expect(await refused).toMatchObject({ code: 'DATABASE', sqlState: '57014' });
  expect((await client.query('commit')).command).toBe('COMMIT');
});

test('a connection that ends during the wait is told, with or without a signal', async () => {
  for (const options of [{}, { signal: new AbortController().signal }]) {
    await using clients = await connect(database, 2);
    const [holder, client] = clients;
    await holder.query('begin; select pg_advisory_xact_lock(1)');
    await client.query('begin');
    const refused = failure(fencepost.transaction(client).acquire(1n, options));
    const [waiter] = await queued(database);
    await database.query('select pg_terminate_backend($1)', [waiter?.pid]);
    expect(await refused).toMatchObject({ code: 'DATABASE', retriable: true });
  }
});

test('a transaction that has failed before is left as it is', { tags: ['F14'] }, async () => {
  await using clients = await connect(database, 1);
  const [client] = clients;
  await client.query('begin; savepoint fencepost; select pg_advisory_xact_lock(1)');
  await failure(client.query('select 1 / 0'));
  for (const call of [
    () => fencepost.transaction(client).acquire('a'),
    () => fencepost.transaction(client).tryAcquire('a'),
    () => fencepost.transaction(client).acquire('a', { signal: new AbortController().signal }),
  ]) {
    expect(await failure(call())).toMatchObject({ code: 'DATABASE', sqlState: '25P02' });
  }
  await client.query('rollback to fencepost');
  expect(await heldKeys(client)).toEqual([]);
});

test('rolling back to a savepoint from before the acquire frees the lock, and to a later one does not', async () => {
  await using clients = await connect(database, 2);
  const [client, other] = clients;
  await client.query('begin; savepoint before');
  await other.query('begin');
  await fencepost.transaction(client).acquire('a', { wait: '5s' });
  await client.query('savepoint after; rollback to after');
  expect(await fencepost.transaction(other).tryAcquire('a')).toBe(false);
  await client.query('rollback to before');
  expect(await fencepost.transaction(other).tryAcquire('a')).toBe(true);
});

test('an abort whose session may not be interrupted takes effect when the wait ends', async () => {
  const role = await createRole(database, '_caller');
  await using owner = await connect(database, 1);
  await using stranger = new Fencepost({ connection: role.url });
  await using clients = await connect(database, 1);
  const [holder] = owner;
  const [client] = clients;
  await holder.query('begin; select pg_advisory_xact_lock(1)');
  await client.query('begin');
  const controller = new AbortController();
  const refused = failure(stranger.transaction(client).acquire(1n, { signal: controller.signal }));
  await queued(database);
  controller.abort(new Error('enough'));
  await until('a refused cancel', async () => {
    const asked = await database.query(
      `select from pg_stat_activity where datname = current_database() and application_name = 'fencepost' and query like '%pg_cancel_backend%'`,
    );
    return asked.length === 1;
  });
  expect(await queued(database)).toHaveLength(1);
  await holder.query('commit');
  expect(await refused).toMatchObject({ message: 'enough' });
  expect(await heldKeys(client)).toEqual([]);
  expect((await client.query('commit')).command).toBe('COMMIT');
});

test('an abort never interrupts a session for anything but its wait for these keys', async () => {
  await using clients = await connect(database, 2);
  const [holder, client] = clients;
  await holder.query('begin; select pg_advisory_xact_lock(1)');
  await client.query('begin');
  const controller = new AbortController();
  // The message with the wait comes behind another statement of the caller, which the cancels meet first.
  const tx = {
    query: async (query: { text: string }) => {
      if (!query.text.includes('pg_advisory_xact_lock')) return client.query(query);
      controller.abort(new Error('enough'));
      const before = await client.query('select pg_sleep(0.2), true as undisturbed');
      expect(before.rows).toMatchObject([{ undisturbed: true }]);
      return client.query(query);
    },
  };
  await expect(fencepost.transaction(tx).acquire(1n, { signal: controller.signal })).rejects.toThrow(
    'enough',
  );
  expect((await client.query('commit')).command).toBe('COMMIT');
});

test('a cancel that is still on its way when the wait ends cannot hit the next wait', async () => {
  await using network = await startProxy(database.url);
  await using distant = new Fencepost({ connection: network.url });
  await using clients = await connect(database, 2);
  const [holder, client] = clients;
  await holder.query('begin; select pg_advisory_xact_lock(1)');
  await client.query('begin');
  const locks = distant.transaction(client);
  // Opens the connection that cancels; from then on it is slow.
  await failure(locks.acquire(1n, { signal: AbortSignal.timeout(20) }));
  network.delay.request = 300;
  const controller = new AbortController();
  const first = failure(locks.acquire(1n, { wait: 100, signal: controller.signal }));
  await queued(database);
  controller.abort(new Error('enough'));
  expect(await first).toMatchObject({ message: 'enough' });
  const second = locks.acquire(1n);
  await queued(database);
  await holder.query('select pg_sleep(0.5)');
  await holder.query('commit');
  await second;
  expect(await heldKeys(client)).toEqual([1]);
});

test('a full lock table is a LimitError, and the transaction is usable afterwards', {
  tags: ['F37'],
}, async () => {
  await using server = await startEmbedded({
    fsync: false,
    maxConnections: 10,
    postgresFlags: ['-c', 'max_locks_per_transaction=10'],
  });
  await using own = new Fencepost({ connection: server.url });
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  await client.query('begin');
  const many = Array.from({ length: 20_000 }, (_, place) => BigInt(place));
  const locks = own.transaction(client);
  for (const wait of ['1m', Infinity] as const) {
    expect(await failure(locks.acquireAll(many, { wait }))).toBeInstanceOf(LimitError);
  }
  await locks.acquireAll(many.slice(0, 50));
  expect(await heldKeys(client)).toHaveLength(50);
  expect((await client.query('commit')).command).toBe('COMMIT');
  await client.end();
});

test('a standby is refused: its locks would be its own', { tags: ['F34'] }, async () => {
  await using server = await startEmbedded({ fsync: false, maxConnections: 10 });
  await using own = new Fencepost({ connection: server.url });
  const primary = new pg.Client({ connectionString: server.url });
  primary.on('error', () => {});
  await primary.connect();
  const { rows } = await primary.query(
    `select current_setting('data_directory') as folder, pg_backend_pid() as pid`,
  );
  await primary.query(`copy (select '') to '${rows[0].folder}/standby.signal'`);
  // The server starts over when it loses a process, and now as a standby.
  process.kill(rows[0].pid, 'SIGKILL');
  const client = await until('a standby', () => connected(server.url));
  await client.query('begin');
  const locks = own.transaction(client);
  expect(await failure(locks.tryAcquire('a'))).toBeInstanceOf(StandbyError);
  expect(await failure(locks.acquire('a'))).toBeInstanceOf(StandbyError);
  expect(await failure(locks.acquireAll(['a', 'b'], { wait: '5s' }))).toBeInstanceOf(StandbyError);
  expect(await heldKeys(client)).toEqual([]);
  expect((await client.query('commit')).command).toBe('COMMIT');
  await client.end();
});

async function connected(url: string): Promise<pg.Client | undefined> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query('select pg_is_in_recovery() as standby');
    if (rows[0].standby) return client;
  } catch {}
  await client.end().catch(() => {});
  return undefined;
}
