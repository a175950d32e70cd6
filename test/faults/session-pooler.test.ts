import { Fencepost, PoolerError } from 'fencepost';
import { describe, expect, test } from 'vitest';
import { advisoryLocks, queued } from '../support/advisory.ts';
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
      const calls = [advisory.acquire('a'), advisory.tryAcquire('a'), advisory.acquireAll(['a', 'b'])];
      for (const call of calls) {
        await expect(call).rejects.toThrow(PoolerError);
        await expect(call).rejects.toMatchObject({ code: 'POOLER', retriable: false });
      }
      expect(await advisoryLocks(database)).toEqual([]);
    },
  );

  test('in transaction mode, when it was said to be in session mode, the first answer of another session tells', async () => {
    await using database = await createDatabase({ template: false });
    await using pooler = await startPgbouncer(database.url, 3);
    // It opens server connections when it needs them: now there are several, which it takes in turn.
    await using others = new Fencepost({ connection: pooler.url });
    await using fencepost = new Fencepost({ connection: pooler.url, sessions });
    const busy = Array.from({ length: 3 }, () => database.pool.query('select 1'));
    await Promise.all([
      ...busy,
      ...['a', 'b'].map((key) => others.advisory.tryAcquire(key).catch(() => null)),
    ]);
    const refused = async (): Promise<boolean> => {
      try {
        await using lock = await fencepost.advisory.acquire('c');
        return lock.signal.aborted && lock.signal.reason.cause instanceof PoolerError;
      } catch (error) {
        return error instanceof PoolerError;
      }
    };
    expect(await until('refused', refused)).toBe(true);
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
           where pid = (select pid from pg_locks where locktype = 'advisory')`,
        );
        return row?.age ?? 0;
      };
      await until('several heartbeats', async () => (await beats()) > 2.5);
      lock.assertHeld();
    }
    expect(await advisoryLocks(database)).toEqual([]);
  });
});
