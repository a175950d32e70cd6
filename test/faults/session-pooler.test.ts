// @module-tag F35
import { Fencepost, PoolerError } from 'fencepost';
import { describe, expect, test } from 'vitest';
import { advisoryLocks, queued } from '../support/advisory.ts';
import { connect } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { pgbouncerFound, startPgbouncer } from '../support/pgbouncer.ts';
import { until } from '../support/until.ts';

const sessions = { pooler: 'session', ttl: '2s', max: 3 } as const;

describe.runIf(pgbouncerFound)('behind PgBouncer', () => {
  test.each(['transaction', 'session'] as const)(
    'in %s mode session locks are refused as long as nobody says that it is in session mode',
    async (mode) => {
      await using database = await createDatabase({ template: false });
      await using pooler = await startPgbouncer(database.url, 3, mode);
      await using fencepost = new Fencepost({ connection: pooler.url });
      const { advisory } = fencepost;
      const asks = [
        () => advisory.acquire('a'),
        () => advisory.tryAcquire('a'),
        () => advisory.acquireAll(['a', 'b']),
      ];
      for (const ask of asks) {
        const refused = ask();
        await expect(refused).rejects.toThrow(PoolerError);
        await expect(refused).rejects.toMatchObject({ code: 'POOLER', retriable: false });
      }
      expect(await advisoryLocks(database)).toEqual([]);
    },
  );

  test('a pooler that was falsely said to be in session mode is found out by the first answer of another session, where nothing is locked', async () => {
    await using database = await createDatabase({ template: false });
    await using pooler = await startPgbouncer(database.url, 2);
    await using fencepost = new Fencepost({ connection: pooler.url, sessions });
    const lock = await fencepost.advisory.acquire('a');
    const { signal } = lock;
    const [first] = await advisoryLocks(database);
    // It opens a second server connection when it needs one, and then takes them in turn.
    await using clients = await connect(pooler, 2);
    for (const client of clients) await client.query('begin');
    for (const client of clients) await client.query('commit');
    let next = 0;
    const ask = async (): Promise<unknown> => {
      next += 1;
      return await fencepost.advisory.acquire(['next', next]).then(
        () => null,
        (error: unknown) => error,
      );
    };
    expect(await until('refused', ask)).toBeInstanceOf(PoolerError);
    await until('told', () => signal.aborted);
    expect(signal.reason.cause).toBeInstanceOf(PoolerError);
    const pids = (await advisoryLocks(database)).map(({ pid }) => pid);
    expect(pids.filter((pid) => pid !== first?.pid)).toEqual([]);
  });

  test('in session mode locks exclude, wait, time out and are aborted as without it, and are lost with their session', async () => {
    await using database = await createDatabase({ template: false });
    await using pooler = await startPgbouncer(database.url, 8, 'session');
    await using one = new Fencepost({ connection: pooler.url, sessions });
    await using other = new Fencepost({ connection: pooler.url, sessions });
    const lock = await one.advisory.acquire('a');
    expect(await other.advisory.tryAcquire('a')).toBeNull();
    expect(await other.advisory.tryAcquire('a', { wait: 20 })).toBeNull();
    const controller = new AbortController();
    const aborted = other.advisory.acquire('a', { signal: controller.signal });
    await queued(database);
    controller.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    expect(await advisoryLocks(database)).toHaveLength(1);
    const waiting = other.advisory.acquire('a');
    await queued(database);
    await lock.release();
    const next = await waiting;
    const { signal } = next;
    const [held] = await advisoryLocks(database);
    await database.query('select pg_terminate_backend($1)', [held?.pid]);
    await until('told', () => signal.aborted);
    expect(signal.reason).toMatchObject({ reason: 'connection' });
    await using again = await one.advisory.acquire('a', { wait: '5s' });
    expect(again.state).toBe('held');
  });

  test('in session mode a heartbeat keeps the session, and what is left at the end is nothing', async () => {
    await using database = await createDatabase({ template: false });
    await using pooler = await startPgbouncer(database.url, 8, 'session');
    {
      await using fencepost = new Fencepost({ connection: pooler.url, sessions });
      await using lock = await fencepost.advisory.acquire('a');
      const beats = async (): Promise<number> => {
        const [row] = await database.query<{ age: number }>(
          `select extract(epoch from query_start - backend_start)::float8 as age from pg_stat_activity
           where pid = (
             select pid from pg_locks where locktype = 'advisory'
               and database = (select oid from pg_database where datname = current_database()))`,
        );
        return row?.age ?? 0;
      };
      await until('several heartbeats', async () => (await beats()) > 2.5);
      lock.assertHeld();
    }
    expect(await advisoryLocks(database)).toEqual([]);
  });
});
