import { Fencepost } from 'fencepost';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { claimedJobs, createJobs, insertJobs, jobsOf, livingStorages } from '../support/jobs.ts';
import { pgbouncerFound, startPgbouncer } from '../support/pgbouncer.ts';
import { plant } from '../support/plant.ts';
import { type FaultyNetwork, type Packet, startProxy, type Verdict } from '../support/proxy.ts';
import { Random } from '../support/random.ts';
import { isolationLevels } from '../support/transactions.ts';
import { until } from '../support/until.ts';

function poolOn(url: string): pg.Pool & AsyncDisposable {
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  pool.on('connect', (client) => client.on('error', () => {}));
  pool.on('error', () => {});
  return Object.assign(pool, { [Symbol.asyncDispose]: () => pool.end() });
}

function once(fits: (packet: Packet) => boolean, verdict: Verdict): FaultyNetwork['tap'] {
  let done = false;
  return (packet) => {
    if (done || !fits(packet)) return 'pass';
    done = true;
    return verdict;
  };
}

const claimAnswer = ({ direction, about }: Packet): boolean =>
  direction === 'answer' && about('fencepost_picked');

describe.each(livingStorages)('in storage %s', (storage) => {
  test('rows of a claim whose answer was lost are free again, and those that are known stay claimed', {
    tags: ['F22'],
  }, async () => {
    await using database = await createDatabase();
    await createJobs(database);
    await insertJobs(database, 10);
    await using proxy = await startProxy(database.url);
    await using pool = poolOn(proxy.url);
    await using fencepost = new Fencepost({ connection: database.url });
    const jobs = jobsOf(fencepost, pool, { storage });
    await jobs.ensure();
    const known = await jobs.claim({ limit: 3 });
    proxy.tap = once(claimAnswer, 'cut');
    await expect(jobs.claim({ limit: 4 })).rejects.toMatchObject({
      code: 'DATABASE',
      inDoubt: true,
      retriable: true,
    });
    await until('only the known ones are claimed', async () => (await claimedJobs(database, storage)) === 3);
    const others = await jobsOf(fencepost, database.pool, { storage }).claim({ limit: 10 });
    expect(others.map(({ row, attempt }) => [row.id, attempt])).toEqual(
      ['4', '5', '6', '7', '8', '9', '10'].map((id) => [id, 1]),
    );
    await Promise.all(known.map((claim) => claim.complete()));
  });

  test('wherever connections are cut, every row is completed once and none is stuck', {
    tags: ['F22', 'F39'],
    timeout: 60_000,
  }, async () => {
    await using database = await createDatabase();
    await createJobs(database);
    await insertJobs(database, 300);
    await using proxy = await startProxy(database.url);
    await using pool = poolOn(proxy.url);
    await using fencepost = new Fencepost({ connection: database.url });
    await using other = new Fencepost({ connection: database.url });
    await jobsOf(fencepost, pool, { storage }).ensure();
    const random = new Random();
    let packets = 0;
    proxy.tap = () => {
      packets += 1;
      return random.below(40) === 0 && packets > 50 ? 'cut' : 'pass';
    };
    const options = { concurrency: 8, batch: 8, poll: 10, backoff: () => 10 } as const;
    const work = (one: Fencepost) =>
      jobsOf(one, pool, { maxAttempts: 1_000, storage }).work(options, async () => {});
    await using _one = work(fencepost);
    await using _two = work(other);
    await until(
      'all are done',
      async () => (await database.query(`select from public.job where status <> 'done'`)).length === 0,
      50_000,
    );
    proxy.tap = () => 'pass';
  });
});

const isolated = isolationLevels.flatMap((isolation) =>
  livingStorages.map((storage) => [isolation, storage] as const),
);

describe.each(isolated)(
  'where %s is the default, and nothing else is as usual, in storage %s',
  (isolation, storage) => {
    const hostile: Record<string, string> = {
      enable_indexscan: 'off',
      enable_indexonlyscan: 'off',
      enable_nestloop: 'off',
      enable_sort: 'off',
      random_page_cost: '10000',
      plan_cache_mode: 'force_generic_plan',
      jit_above_cost: '0',
      synchronous_commit: 'off',
      standard_conforming_strings: 'off',
      transform_null_equals: 'on',
      array_nulls: 'off',
      datestyle: 'German',
      intervalstyle: 'sql_standard',
      timezone: 'Pacific/Chatham',
      search_path: '',
      default_transaction_deferrable: 'on',
      row_security: 'off',
      lock_timeout: '2s',
    };

    test('claims give no more rows than asked, each once, and no serialisation error', {
      tags: ['F38'],
      timeout: 60_000,
    }, async () => {
      await using database = await createDatabase();
      await createJobs(database);
      await insertJobs(database, 400);
      const settings = Object.entries({ ...hostile, default_transaction_isolation: isolation });
      for (const [name, value] of settings) {
        await database.query(`alter database ${database.name} set ${name} = '${value}'`);
      }
      await using pool = poolOn(database.url);
      await using one = new Fencepost({ connection: database.url });
      await using other = new Fencepost({ connection: database.url });
      await jobsOf(one, pool, { storage }).ensure();
      const batches = await Promise.all(
        Array.from({ length: 40 }, (_, call) =>
          jobsOf(call % 2 === 0 ? one : other, pool, { storage }).claim({ limit: 7 }),
        ),
      );
      const claims = batches.flat();
      expect(Math.max(...batches.map(({ length }) => length))).toBeLessThanOrEqual(7);
      expect(new Set(claims.map(({ row }) => row.id)).size).toBe(claims.length);
      await Promise.all(
        claims.map((claim, place) => {
          if (place % 4 === 0) return claim.complete(async () => {});
          if (place % 4 === 1) return claim.release({ after: 50, error: new Error('no') });
          return place % 4 === 2 ? claim.fail('never') : claim.complete();
        }),
      );
      const jobs = jobsOf(one, pool, { storage });
      const failed = await jobs.aside({ limit: 1_000 });
      expect(failed).toHaveLength(claims.filter((_, place) => place % 4 === 2).length);
      await until('the released ones were claimed again', async () => {
        const more = await jobs.claim({ limit: 100 });
        await Promise.all(more.map((claim) => claim.complete()));
        const left = await database.query(`select from public.job where status = 'new'`);
        return left.length === failed.length;
      });
    });
  },
);

describe.runIf(pgbouncerFound)('through PgBouncer in transaction mode', () => {
  test('rows are claimed, kept and settled', async () => {
    await using database = await createDatabase();
    await createJobs(database);
    await insertJobs(database, 200);
    await using pooler = await startPgbouncer(database.url);
    await using pool = poolOn(pooler.url);
    await using one = new Fencepost({ connection: pooler.url });
    await using other = new Fencepost({ connection: pooler.url });
    await jobsOf(one, pool).ensure();
    const batches = await Promise.all(
      Array.from({ length: 20 }, (_, call) =>
        jobsOf(call % 2 === 0 ? one : other, pool).claim({ limit: 10 }),
      ),
    );
    const claims = batches.flat();
    expect(new Set(claims.map(({ row }) => row.id)).size).toBe(claims.length);
    await Promise.all(
      claims.map((claim, place) => claim.complete(place % 2 === 0 ? async () => {} : undefined)),
    );
    const done = await database.query(`select from public.job where status = 'done'`);
    expect(done).toHaveLength(claims.length);
  });
});

test('a takeover that buries a holder at a glance, without its lock, would be found', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 1);
  await using one = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  await jobsOf(one, database.pool).ensure();
  await plant(database.query, 'claim_dead', ['for update skip locked', '']);
  const [claim] = await jobsOf(one, database.pool).claim();
  await database.query(`update fencepost.holder set expires_at = now() - interval '1 s'`);
  const beat = await database.pool.connect();
  await beat.query(`begin; update fencepost.holder set expires_at = now() + interval '10 s'`);
  const taking = jobsOf(other, database.pool).claim();
  const waits = () =>
    database.query(
      `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
    );
  await until('the claim waits for the heartbeat', async () => (await waits()).length > 0);
  await beat.query('commit');
  beat.release();
  expect(await taking).toHaveLength(1);
  expect(claim?.state).toBe('held');
});

test('close ends although the pool was ended first, and the rows are free', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await insertJobs(database, 1);
  const pool = new pg.Pool({ connectionString: database.url });
  await using other = new Fencepost({ connection: database.url });
  const fencepost = new Fencepost({ connection: database.url });
  const jobs = jobsOf(fencepost, pool);
  await jobs.ensure();
  await jobs.claim();
  await pool.end();
  await fencepost.close();
  expect(await jobsOf(other, database.pool).claim()).toHaveLength(1);
});

test.each(livingStorages)(
  'claims in storage %s give no more rows than asked where every join is a nested loop',
  { tags: ['F38'] },
  async (storage) => {
    await using database = await createDatabase();
    await createJobs(database);
    await insertJobs(database, 400);
    for (const name of ['hashjoin', 'mergejoin', 'material', 'memoize', 'hashagg', 'sort'])
      await database.query(`alter database ${database.name} set enable_${name} = off`);
    await using pool = poolOn(database.url);
    await using fencepost = new Fencepost({ connection: database.url });
    const jobs = jobsOf(fencepost, pool, { storage });
    await jobs.ensure();
    for (let call = 0; call < 5; call += 1) expect(await jobs.claim({ limit: 7 })).toHaveLength(7);
  },
);
