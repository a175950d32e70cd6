import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { advisoryLocks } from '../support/advisory.ts';
import { connect, failure } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { pgbouncerFound, startPgbouncer } from '../support/pgbouncer.ts';
import { startOwnServer } from '../support/postmaster.ts';

const slow = { timeout: 60_000 };

test('a standby grants advisory locks of its own, without a word', slow, async () => {
  await using server = await startOwnServer({ fsync: false });
  await server.becomeStandby();
  await using clients = await connect(server, 2);
  const tryLock = async (client: pg.Client) =>
    (await client.query('select pg_is_in_recovery() as standby, pg_try_advisory_lock(1) as granted')).rows;
  expect(await tryLock(clients[0])).toEqual([{ standby: true, granted: true }]);
  expect(await tryLock(clients[1])).toEqual([{ standby: true, granted: false }]);
});

test('one client can fill the lock table, and then others fail too', slow, async () => {
  const postgresFlags = ['-c', 'max_locks_per_transaction=10', '-c', 'max_wal_senders=0'];
  await using server = await startOwnServer({ fsync: false, maxConnections: 10, postgresFlags });
  await using clients = await connect(server, 2);
  const [greedy, modest] = clients;
  const full = await failure(
    greedy.query('select pg_advisory_lock(key) from generate_series(1, 100000) key'),
  );
  expect(full).toMatchObject({ code: '53200' });
  const { rows } = await greedy.query(
    `select count(*)::int as held, current_setting('max_locks_per_transaction')::int
       * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int) as nominal
     from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`,
  );
  // The statement failed, and what it had locked before it still has.
  expect(rows[0].held).toBeGreaterThan(rows[0].nominal);
  expect(await failure(modest.query('select pg_advisory_lock(-1)'))).toMatchObject({ code: '53200' });
  await greedy.query('select pg_advisory_unlock_all()');
  await modest.query('select pg_advisory_lock(-1)');
});

describe.runIf(pgbouncerFound)('through PgBouncer', () => {
  test.each(['transaction', 'session'] as const)(
    'the process id that a client was given in %s mode is not that of its server process',
    async (mode) => {
      await using database = await createDatabase({ template: false });
      await using pooler = await startPgbouncer(database.url, 1, mode);
      await using clients = await connect(pooler, 1);
      const { rows } = await clients[0].query('select pg_backend_pid() as pid');
      expect(rows[0].pid).not.toBe((clients[0] as unknown as { processID: number }).processID);
      await using direct = await connect(database, 1);
      const answer = await direct[0].query('select pg_backend_pid() as pid');
      expect(answer.rows[0].pid).toBe((direct[0] as unknown as { processID: number }).processID);
    },
  );

  test('in transaction mode a session lock belongs to whoever comes next, and outlives them all', async () => {
    await using database = await createDatabase({ template: false });
    await using pooler = await startPgbouncer(database.url, 1);
    {
      await using clients = await connect(pooler, 2);
      for (const client of clients) {
        const { rows } = await client.query('select pg_try_advisory_lock(1) as granted');
        expect(rows).toEqual([{ granted: true }]);
      }
    }
    const [left] = await advisoryLocks(database);
    expect(left).toMatchObject({ key: '1', granted: true });
    await database.query('select pg_terminate_backend($1)', [left?.pid]);
  });

  test('in transaction mode a setting of the session reaches other clients, a local one does not', async () => {
    await using database = await createDatabase({ template: false });
    await using pooler = await startPgbouncer(database.url, 1);
    await using clients = await connect(pooler, 2);
    await clients[0].query(`set lock_timeout = '7s'`);
    await clients[0].query(`begin; set local idle_session_timeout = '7s'; commit`);
    const { rows } = await clients[1].query(
      `select current_setting('lock_timeout') as session, current_setting('idle_session_timeout') as local`,
    );
    expect(rows).toEqual([{ session: '7s', local: '0' }]);
  });

  test('in session mode a lock ends with its client, whose server process is cleaned', async () => {
    await using database = await createDatabase({ template: false });
    await using pooler = await startPgbouncer(database.url, 1, 'session');
    const client = new pg.Client({ connectionString: pooler.url });
    await client.connect();
    await client.query('select pg_advisory_lock(1)');
    await client.end();
    await using next = await connect(pooler, 1);
    await next[0].query('select 1');
    expect(await advisoryLocks(database)).toEqual([]);
  });
});
