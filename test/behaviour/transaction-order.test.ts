import { afterAll, describe, expect, test } from 'vitest';
import { awaitTransactionLocks } from '../../src/sql/advisory.ts';
import { connect, failure, heldKeys } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { blockedIn } from '../support/sessions.ts';

const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());

const keys = Array.from({ length: 200 }, (_, place) => String(place + 1));

/** Settings that push the planner this way and that. */
const planners = [
  'select 1',
  'set enable_nestloop = off; set enable_material = off',
  'set enable_nestloop = off; set enable_hashjoin = off',
  'set enable_mergejoin = off; set enable_hashjoin = off; set enable_sort = off',
  'set from_collapse_limit = 1; set join_collapse_limit = 1; set geqo_threshold = 2',
  `select set_config(name, 'on', false) from pg_settings where name in ('debug_parallel_query', 'force_parallel_mode')`,
  'set jit = on; set jit_above_cost = 0; set plan_cache_mode = force_generic_plan',
];

describe('Postgres takes the locks of one statement in the order of the array', () => {
  test.each(planners)('with: %s', async (settings) => {
    await using clients = await connect(database, 2);
    const [holder, waiter] = clients;
    await waiter.query(settings);
    for (const wait of [60_000, Infinity]) {
      for (const order of [keys, keys.toReversed()]) {
        const place = 70;
        await holder.query(`begin; select pg_advisory_xact_lock(${order[place]})`);
        const { rows } = await waiter.query('begin; savepoint here').then(() => waiter.query(pid));
        const granted = waiter.query(awaitTransactionLocks(order, 'exclusive', wait).text);
        await blockedIn(database, 'pg_advisory_xact_lock');
        const held = await database.query<{ key: string }>(
          `select (classid::int8 << 32 | objid::int8) as key from pg_locks
           where locktype = 'advisory' and granted and pid = $1 order by 1`,
          [rows[0].pid],
        );
        const before = order.slice(0, place);
        expect(held.map(({ key }) => key).toSorted()).toEqual(before.toSorted());
        await holder.query('rollback');
        await granted;
        expect(await heldKeys(waiter)).toHaveLength(keys.length);
        await waiter.query('rollback');
      }
    }
  });
});

describe('Postgres evaluates the arguments of a function from left to right', () => {
  test.each(planners)('with: %s', async (settings) => {
    await using clients = await connect(database, 1);
    const [client] = clients;
    await client.query(`${settings}; begin`);
    const read = `current_setting('lock_timeout')`;
    const set = (value: string) => `set_config('lock_timeout', '${value}', true)`;
    for (const from of ['', 'from generate_series(1, 3)', 'from (select from pg_class limit 3) c']) {
      await client.query(`select ${set('1h')}`);
      const { rows } = await client.query(
        `select concat(${read}, ' ', ${set('7s')}, ' ', ${read}) as seen ${from}`,
      );
      expect(rows[0]).toEqual({ seen: '1h 7s 7s' });
      for (const old of ['0', '1234ms', '1h']) {
        await client.query(`select ${set(old)}`);
        const again = `concat(${read}, case when ${set('7s')} is not null then '' end)`;
        await client.query(`select set_config('lock_timeout', ${again}, true) ${from}`);
        expect((await client.query('show lock_timeout')).rows).toEqual([{ lock_timeout: old }]);
      }
    }
  });
});

describe('one statement sets the timeout, locks, and sets it back', () => {
  test('the wait is bounded by the new timeout, and afterwards the old one is there', async () => {
    await using clients = await connect(database, 2);
    const [holder, waiter] = clients;
    await holder.query('begin; select pg_advisory_xact_lock(2)');
    await waiter.query(`begin; set local lock_timeout = '1h'; savepoint here`);
    for (const together of [['2'], ['1', '2', '3']]) {
      const { text } = awaitTransactionLocks(together, 'exclusive', 10);
      expect(await failure(waiter.query(text))).toMatchObject({ code: '55P03' });
      await waiter.query('rollback to here');
    }
    await holder.query('rollback');
    for (const together of [['2'], ['1', '2', '3']]) {
      await waiter.query(awaitTransactionLocks(together, 'exclusive', 10).text);
      expect((await waiter.query('show lock_timeout')).rows).toEqual([{ lock_timeout: '1h' }]);
    }
    expect(await heldKeys(waiter)).toEqual([1, 2, 3]);
  });

  test('for ever is for ever, whatever the timeout was before', async () => {
    await using clients = await connect(database, 2);
    const [holder, waiter] = clients;
    await holder.query('begin; select pg_advisory_xact_lock(2)');
    await waiter.query(`begin; set local lock_timeout = '1ms'`);
    const granted = waiter.query(awaitTransactionLocks(['1', '2'], 'exclusive', Infinity).text);
    await blockedIn(database, 'pg_advisory_xact_lock');
    await holder.query('select pg_sleep(0.05)');
    expect(await blockedIn(database, 'pg_advisory_xact_lock')).toHaveLength(1);
    await holder.query('rollback');
    await granted;
    expect((await waiter.query('show lock_timeout')).rows).toEqual([{ lock_timeout: '1ms' }]);
  });

  test('the time is for all keys together, not for each', async () => {
    await using clients = await connect(database, 2);
    const [holder, waiter] = clients;
    const few = keys.slice(0, 20);
    await holder.query(`begin; select pg_advisory_lock(key) from unnest('{${few.join(',')}}'::int8[]) key`);
    await waiter.query('begin');
    const outcome = failure(waiter.query(awaitTransactionLocks(few, 'exclusive', 100).text));
    await blockedIn(database, 'pg_advisory_xact_lock');
    // Each becomes free 15 ms after the one before it: none of them takes 100 ms, all of them take 300.
    await holder.query(`do $$ begin
      for key in 1..20 loop perform pg_sleep(0.015); perform pg_advisory_unlock(key); end loop; end $$`);
    expect(await outcome).toMatchObject({ code: '55P03' });
    await waiter.query('rollback');
  });
});

const pid = 'select pg_backend_pid() as pid';
