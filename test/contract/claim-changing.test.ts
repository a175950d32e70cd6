/** Rows that change between the moment from which a claim sees the table and the one at which it locks them. */
import { Fencepost } from 'fencepost';
import { type KyselyPlugin, sql } from 'kysely';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { createGate, overtaken, throughGate } from '../support/gate.ts';
import { claimedJobs, createJobs, insertJobs, kyselyOn, livingStorages } from '../support/jobs.ts';
import { until } from '../support/until.ts';

for (const storage of [...livingStorages, 'held'] as const) {
  const define = (fencepost: Fencepost, pool: pg.Pool, where = throughGate) =>
    fencepost.claims.define({
      db: kyselyOn(pool),
      table: 'public.job',
      key: 'id',
      where: () => where,
      orderBy: ['id'],
      done: { status: 'done' },
      storage: storage as 'columns',
    });

  const ways = {
    claim: (jobs: ReturnType<typeof define>) => jobs.claim({ limit: 3 }),
    claimKeys: (jobs: ReturnType<typeof define>) => jobs.claimKeys([1, 2, 3]),
  };

  for (const [what, change, expected] of [
    ['are claimed as they are now', 'update public.job set weight = 7 where id = 2', { 1: 0, 2: 7, 3: 0 }],
    [
      'are left alone when they are not free any more',
      `update public.job set status = 'off' where id = 2`,
      { 1: 0, 3: 0 },
    ],
    ['are left alone when they are gone', 'delete from public.job where id = 2', { 1: 0, 3: 0 }],
  ] as const) {
    test.each(Object.entries(ways))(
      `${storage}, %s: rows that change meanwhile ${what}`,
      async (_, claim) => {
        await using database = await createDatabase();
        await createJobs(database);
        await createGate(database);
        await using fencepost = new Fencepost({ connection: database.url });
        await define(fencepost, database.pool, sql<boolean>`status = 'new'`).ensure();
        await insertJobs(database, 3);
        const claimed = await overtaken(
          database,
          async (pool) => {
            const claims = await claim(define(fencepost, pool));
            await Promise.all(claims.map((claim) => claim.complete()));
            return claims;
          },
          () => database.query(change),
        );
        expect(Object.fromEntries(claimed.map(({ row }) => [row.id, row.weight]))).toEqual(expected);
        const done = await database.query(`select from public.job where status = 'done'`);
        expect(done).toHaveLength(Object.keys(expected).length);
      },
    );
  }
}

/** Makes the first answer of a claim one that cannot be read. */
const garble = (): KyselyPlugin => {
  let garbled = false;
  return {
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      const [row] = result.rows;
      if (garbled || typeof row?.fencepost !== 'string') return result;
      garbled = true;
      return { ...result, rows: [{ ...row, fencepost: 'what?' }, ...result.rows.slice(1)] };
    },
  };
};

test.each(livingStorages)('%s: what an answer took that cannot be read is free again', async (storage) => {
  await using database = await createDatabase();
  await createJobs(database);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = fencepost.claims.define({
    db: kyselyOn(database.pool).withPlugin(garble()),
    table: 'public.job',
    key: 'id',
    done: 'delete',
    storage,
  });
  await jobs.ensure();
  await insertJobs(database, 3);
  await expect(jobs.claim({ limit: 3 })).rejects.toThrow('the answer of a claim says what?');
  await until('they are free', async () => (await claimedJobs(database, storage)) === 0);
  expect(await jobs.claim({ limit: 3 })).toHaveLength(3);
});
