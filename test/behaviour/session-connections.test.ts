import { afterAll, expect, test } from 'vitest';
import { connect, failure } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { type Report, startPlainProcess, uncaught } from '../support/plain-process.ts';
import { until } from '../support/until.ts';

const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());

const { url } = database;
const slow = { timeout: 30_000 };

const present = async (pid: number): Promise<boolean> =>
  (await database.query('select from pg_stat_activity where pid = $1', [pid])).length > 0;

const ended = (pid: number) => until(`session ${pid} has ended`, async () => !(await present(pid)));

test('without a listener for errors the end of a connection is the end of the process', slow, async () => {
  for (const listens of [false, true]) {
    await using child = startPlainProcess({ url, setUp: 'select 1', listens });
    const { pid } = await child.next<{ pid: number }>();
    await database.query('select pg_terminate_backend($1)', [pid]);
    if (listens) {
      await until('told', () => JSON.stringify(child.waiting).includes('end'));
      expect(child.waiting.at(-1)).toEqual({ events: expect.arrayContaining(['error', 'end']) });
    }
    // With one, it ends in peace: without its connection it has nothing left to do.
    const { code, signal } = await child.ended;
    expect([code, signal]).toEqual([listens ? 0 : uncaught, null]);
  }
});

test('after a pause of the process timers run before the end of a connection is told', slow, async () => {
  await using child = startPlainProcess({
    url,
    setUp: `set idle_session_timeout = '500ms'`,
    listens: true,
    timer: 400,
  });
  const { pid } = await child.next<{ pid: number }>();
  child.signal('SIGSTOP');
  await ended(pid);
  child.signal('SIGCONT');
  const report = await until('told', () =>
    (child.waiting as Report[]).find((one) => 'events' in one && one.events.includes('error')),
  );
  expect('events' in report && report.events[0]).toBe('timer');
});

test(
  'of a frozen client, whose kernel goes on answering, only the idle timeout rids the server',
  slow,
  async () => {
    const network = `set tcp_keepalives_idle = 1; set tcp_keepalives_interval = 1; set tcp_keepalives_count = 1;
    set tcp_user_timeout = '1s'; set client_connection_check_interval = '100ms'`;
    await using watched = startPlainProcess({ url, setUp: network, listens: true });
    await using bounded = startPlainProcess({ url, setUp: `set idle_session_timeout = '3s'`, listens: true });
    const [watchedPid, boundedPid] = [
      (await watched.next<{ pid: number }>()).pid,
      (await bounded.next<{ pid: number }>()).pid,
    ];
    watched.signal('SIGSTOP');
    bounded.signal('SIGSTOP');
    await ended(boundedPid);
    expect(await present(watchedPid)).toBe(true);
  },
);

test('the idle timeout ends a session with 57P05, and each statement starts it anew', slow, async () => {
  await using clients = await connect(database, 2);
  const [beating, silent] = clients;
  const errors: unknown[] = [];
  silent.on('error', (error) => errors.push(error));
  for (const client of clients) await client.query(`set idle_session_timeout = '400ms'`);
  const { rows } = await silent.query('select pg_backend_pid() as pid, pg_advisory_lock(1)');
  const started = performance.now();
  await until('lost', async () => {
    await beating.query('select 1');
    return errors.length > 0 && performance.now() - started > 1_000;
  });
  expect(errors[0]).toMatchObject({ code: '57P05' });
  await ended(rows[0].pid);
  expect((await beating.query('select pg_try_advisory_lock(1) as free')).rows).toEqual([{ free: true }]);
});

test(
  'a timeout of transactions, where there is one, ends the whole session with its locks, even for one statement',
  slow,
  async () => {
    await using clients = await connect(database, 1);
    const [client] = clients;
    const [server] = await database.query<{ version: number }>(
      `select current_setting('server_version_num')::int as version`,
    );
    const set = client.query(`set transaction_timeout = '50ms'`);
    if ((server?.version ?? 0) < 170_000) {
      expect(await failure(set)).toMatchObject({ code: '42704' });
      return;
    }
    await set;
    const { rows } = await client.query('select pg_backend_pid() as pid, pg_advisory_lock(1)');
    const error = await failure(client.query('select pg_sleep(10)'));
    expect(error).toMatchObject({ code: '25P04', severity: 'FATAL' });
    await ended(rows[0].pid);
    expect(await database.query('select pg_try_advisory_xact_lock(1) as free')).toEqual([{ free: true }]);
  },
);
