import { Fencepost } from 'fencepost';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { heldBy, heldOnServer, inversions, recordGrants } from '../support/grants.ts';
import { isolationLevels, openPg } from '../support/transactions.ts';

const hostile: Record<string, string> = {
  enable_indexscan: 'off',
  enable_indexonlyscan: 'off',
  enable_nestloop: 'off',
  enable_sort: 'off',
  random_page_cost: '10000',
  plan_cache_mode: 'force_custom_plan',
  jit_above_cost: '0',
  synchronous_commit: 'off',
  standard_conforming_strings: 'off',
  transform_null_equals: 'on',
  array_nulls: 'off',
  bytea_output: 'escape',
  datestyle: 'German',
  intervalstyle: 'sql_standard',
  timezone: 'Pacific/Chatham',
  extra_float_digits: '-15',
  search_path: '',
  client_min_messages: 'debug1',
  default_transaction_deferrable: 'on',
  row_security: 'off',
  idle_session_timeout: '700ms',
  idle_in_transaction_session_timeout: '5s',
  lock_timeout: '2s',
};

test.each(isolationLevels)(
  'leases work on a database with hostile settings and %s by default',
  { tags: ['F38'] },
  async (isolation) => {
    await using database = await createDatabase();
    await recordGrants(database);
    const settings = Object.entries({ ...hostile, default_transaction_isolation: isolation });
    for (const [name, value] of settings) {
      await database.query(`alter database ${database.name} set ${name} = '${value}'`);
    }
    await using fencepost = new Fencepost({ connection: database.url });
    await using other = new Fencepost({ connection: database.url });
    for (let round = 0; round < 3; round += 1) {
      const calls = Array.from({ length: 400 }, (_, call) =>
        (call % 2 === 0 ? fencepost : other).leases.tryAcquire(`${round % 2} ${call % 100}`, {
          ttl: '10s',
          renew: call % 3 > 0,
        }),
      );
      const leases = await Promise.all(calls);
      expect(heldBy(leases)).toHaveLength(100);
      expect(await heldOnServer(database)).toEqual(heldBy(leases));
      const [lease] = leases.filter((one) => one !== null);
      if (lease === undefined) throw new Error('nothing was granted');
      const { trx, commit } = await openPg(database.pool, isolation);
      await lease.guard(trx);
      await lease.renew();
      expect(await commit()).toBe('COMMIT');
      await Promise.all(leases.map((one) => one?.release()));
      expect(await heldOnServer(database)).toEqual([]);
    }
    expect(await inversions(database)).toEqual([]);
    // The server ends idle sessions of ours here; the lease lives on.
    await using lease = await fencepost.leases.acquire('kept', { ttl: '2s' });
    await using taken = await other.leases.acquire('taken', { ttl: '2s' });
    expect(await fencepost.leases.tryAcquire('taken', { ttl: '2s', wait: '2500ms' })).toBeNull();
    expect([lease.state, taken.state]).toEqual(['held', 'held']);
  },
);

test('a row that an administrator deletes costs the lease, not the order of tokens', {
  tags: ['F28'],
}, async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  const lease = await fencepost.leases.acquire('a', { ttl: '10s' });
  await database.query('delete from fencepost.lease');
  await using next = await other.leases.acquire('a', { ttl: '10s' });
  expect(next.token > lease.token).toBe(true);
  const { trx, rollback } = await openPg(database.pool, 'read committed');
  await expect(lease.guard(trx)).rejects.toMatchObject({ code: 'STALE_TOKEN' });
  await rollback();
  await lease.release();
  next.assertHeld();
  expect(await heldOnServer(database)).toEqual(heldBy([next]));
});

test('the floor of tokens holds for a row that is made anew', { tags: ['F28'] }, async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  const floor = 2n ** 60n;
  await database.query('update fencepost.state set token_floor = $1', [String(floor)]);
  await using lease = await fencepost.leases.acquire('a', { ttl: '10s' });
  expect(lease.token > floor).toBe(true);
});

test('an administrator who deletes the holder takes everything from it that lives on it', async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  const lease = await fencepost.leases.acquire('a', { ttl: '1s' });
  const ended = new Promise((resolve) => lease.signal.addEventListener('abort', resolve, { once: true }));
  await database.query('delete from fencepost.holder');
  await using _next = await other.leases.acquire('a', { ttl: '10s' });
  await ended;
  expect(lease.state).toBe('lost');
  await using _again = await fencepost.leases.acquire('b', { ttl: '1s' });
});
