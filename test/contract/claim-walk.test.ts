import { Fencepost } from 'fencepost';
import { type ExpressionBuilder, Kysely, PostgresDialect, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { definitionOf } from '../../src/claim/definition.ts';
import { Preparing } from '../../src/claim/preparing.ts';
import { UserDatabase } from '../../src/claim/user-database.ts';
import type { Position } from '../../src/sql/claim-asked.ts';
import { holdRow } from '../../src/sql/claim-held.ts';
import { hasPositions } from '../../src/sql/claim-position.ts';
import { statementsOf } from '../../src/sql/claim-statements.ts';
import { readClaimed } from '../../src/sql/claimed-rows.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { createJobs, insertJobs, jobsOf } from '../support/jobs.ts';
import { Random } from '../support/random.ts';

type Tables = { thing: Record<string, unknown> };

/** Values that a column can have, in no order: few of them, so that many rows are equal. */
const columns: Readonly<Record<string, string>> = {
  tiny: '(array[-1, 0, 7])[1 + n % 3]::smallint',
  great: '(n % 4) * 9007199254740993::bigint',
  amount: '(array[1, 1.5, -3.25, 1e20])[1 + n % 4]::numeric',
  name: `(array['', 'a', 'A''b', 'ä', 'z\\', '"q"'])[1 + n % 6]`,
  at: `timestamptz '2026-11-25 12:00:00.123456Z' + (n % 5) * interval '0.3 ms'`,
  day: `date '2026-11-25' - n % 3`,
  flag: 'n % 2 = 0',
  tag: `md5((n % 5)::text)::uuid`,
  mood: `(array['low', 'high'])[1 + n % 2]::mood`,
};

async function tableOf(database: TestDatabase, options: object) {
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: database.pool }) });
  const given = { db, table: 'thing', key: 'id', done: 'delete', ...options };
  await using fencepost = new Fencepost({ connection: database.url });
  await fencepost.claims.define<Tables, 'thing'>(given as never).ensure();
  const definition = definitionOf('fencepost', given);
  return new Preparing(new UserDatabase(db as never, 'fencepost'), definition.shape).table();
}

async function claimantOf({ query }: TestDatabase) {
  const [holder] = await query<{ id: string }>(`select fencepost.holder_open('1 day', 'walk') as id`);
  return { id: holder?.id ?? '', epoch: 0 };
}

describe.each(['columns', 'sidecar'] as const)('in storage %s', (storage) => {
  test('claims behind one another get all rows in order, whatever they are ordered by', async () => {
    await using database = await createDatabase();
    await database.query(`create type mood as enum ('high', 'low')`);
    const random = new Random();
    for (let round = 0; round < 12; round += 1) {
      const names = Object.keys(columns).toSorted(() => random.next() - 0.5);
      const order = names
        .slice(0, 1 + random.below(3))
        .map((name) => (random.below(2) === 0 ? name : `${name} desc`));
      if (random.below(2) === 0) order.push('id');
      await database.query(`drop table if exists thing;
        create table thing as select n as id, (array['x', 'y'])[1 + n % 2] as part, ${Object.entries(columns)
          .map(([name, value]) => `${value} as ${name}`)
          .join(', ')} from generate_series(1, 60) n order by n * 7919 % 61;
        alter table thing add primary key (id);
        ${Object.keys(columns)
          .map((name) => `alter table thing alter ${name} set not null;`)
          .join(' ')}`);
      const tenant = random.pick([undefined, 'x']);
      const all = tenant === undefined ? 60 : 30;
      const table = await tableOf(database, { storage, orderBy: order, tenant: 'part' });
      expect(hasPositions(table)).toBe(true);
      const claimant = await claimantOf(database);
      const values = order.map((one) => one.replace(' desc', '')).join(', ');
      const expected = await database.query<{ row: string }>(
        `select row(${values})::text as row from thing where part = coalesce($1, part) order by ${order.join(', ')}`,
        [tenant ?? null],
      );
      const claimed: string[] = [];
      const looks: number[] = [];
      for (let from: Position | null = null; ; ) {
        const asked = { limit: 1 + random.below(9), tenant, fresh: true, from };
        const { text, values } = statementsOf(table).claimRows(table, claimant, asked);
        const answer = readClaimed((await database.pool.query(text, [...values])).rows);
        expect(answer.rows.map(({ state }) => state)).not.toContain('refused');
        claimed.push(...answer.rows.map(({ key }) => String(key[0])));
        looks.push(answer.rows.length);
        if (answer.rows.length < asked.limit) break;
        expect(answer.ended).not.toBeNull();
        from = answer.ended;
      }
      expect(new Set(claimed).size, `seed ${random.seed}, ${order}: ${looks}`).toBe(all);
      const rows = new Map(
        (
          await database.query<{ id: number; row: string }>(
            `select id, row(${values})::text as row from thing`,
          )
        ).map(({ id, row }) => [String(id), row]),
      );
      expect(
        claimed.map((id) => rows.get(id)),
        `seed ${random.seed}, ${order}`,
      ).toEqual(expected.map(({ row }) => row));
    }
  });
});

describe.each(['columns', 'sidecar', 'held'] as const)('in storage %s', (storage) => {
  test('what is done and cannot be vacuumed is not passed again by a claim behind it', async () => {
    await using database = await createDatabase();
    await database.query(
      `create table thing (id integer primary key, status text not null default 'new', note text)`,
    );
    const table = await tableOf(database, {
      storage,
      orderBy: ['id'],
      where: (eb: ExpressionBuilder<Tables, 'thing'>) => eb('status', '=', 'new'),
    });
    const claimant = await claimantOf(database);
    const old = await database.pool.connect();
    await database.query(
      `insert into thing select n, 'new', repeat('x', 1000) from generate_series(1, 20000) n`,
    );
    await old.query('begin isolation level repeatable read');
    await old.query('select count(*) from thing');
    await database.query(`update thing set status = 'done' where id <= 19900`);
    const claim = async (from: Position | null, explain = '') => {
      const { text, values } =
        storage === 'held'
          ? holdRow(table, 30_000, undefined, undefined, from)
          : statementsOf(table).claimRows(table, claimant, { limit: 10, fresh: true, from });
      const { rows } = await database.pool.query(`${explain} ${text}`, [...values]);
      return rows;
    };
    const buffers = async (from: Position | null): Promise<number> => {
      const [row] = await claim(from, 'explain (analyze, buffers, timing off, format json)');
      const { Plan } = row['QUERY PLAN'][0];
      return Plan['Shared Hit Blocks'] + Plan['Shared Read Blocks'];
    };
    const { ended } = readClaimed(await claim(null));
    const start = await buffers(null);
    const behind = await buffers(ended);
    await old.query('rollback');
    old.release();
    // 7 rows are a page.
    expect(start).toBeGreaterThan(2_500);
    expect(behind).toBeLessThan(500);
  });

  test('an order by what may be null, or has no text that is the same everywhere, has no positions', async () => {
    await using database = await createDatabase();
    await database.query(`create table thing (id integer primary key, size integer, share float8 not null)`);
    for (const orderBy of [['size', 'id'], ['share', 'id'], []]) {
      expect(hasPositions(await tableOf(database, { storage, orderBy }))).toBe(false);
    }
  });

  // Where it takes long to look for rows, workers go on behind their last claim.
  const slowly = {
    storage,
    where: (eb: ExpressionBuilder<never, never>) =>
      eb.and([sql<boolean>`status = 'new'`, sql<boolean>`(select pg_sleep(0.02)) is not null`]),
  };

  async function prepare(database: TestDatabase, fencepost: Fencepost) {
    await createJobs(database);
    await jobsOf(fencepost, database.pool, { storage: storage as 'columns' }).ensure();
    await insertJobs(database, 20);
    return jobsOf(fencepost, database.pool, slowly as never);
  }

  test('workers that find nothing behind their last claim look from the start before the poll', async () => {
    await using database = await createDatabase();
    await using fencepost = new Fencepost({ connection: database.url });
    const jobs = await prepare(database, fencepost);
    const inserted = Promise.withResolvers<void>();
    const found = Promise.withResolvers<void>();
    const worked: string[] = [];
    // Each claim that is held has a connection.
    const first = storage === 'held' ? 5 : 10;
    const workers = jobs.work({ concurrency: first, batch: first, poll: '1h' }, async ({ row }) => {
      worked.push(row.id);
      if (worked.length === first) {
        await database.query(`delete from job where id > ${first};
          insert into job (id) overriding system value values (0)`);
        inserted.resolve();
      }
      await inserted.promise;
      if (row.id === '0') found.resolve();
    });
    await found.promise;
    await workers.stop();
    expect(worked.toSorted((a, b) => Number(a) - Number(b))).toEqual(
      Array.from({ length: first + 1 }, (_, n) => String(n)),
    );
  });

  test('claims that are asked for come from the start each time', async () => {
    await using database = await createDatabase();
    await using fencepost = new Fencepost({ connection: database.url });
    const jobs = await prepare(database, fencepost);
    expect((await jobs.claim({ limit: 2 })).map(({ row }) => row.id)).toEqual(['1', '2']);
    await database.query('insert into job (id) overriding system value values (0)');
    expect((await jobs.claim({ limit: 2 })).map(({ row }) => row.id)).toEqual(['0', '3']);
  });
});
