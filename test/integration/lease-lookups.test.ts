import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  acquireLeases,
  type Held,
  knownLeases,
  plainAsk,
  readAnswers,
  releaseLeases,
  renewLeases,
} from '../../src/sql/lease.ts';
import type { Row, Statement } from '../../src/sql/statement.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { openPool } from '../support/server-pool.ts';
import { until } from '../support/until.ts';

const count = 100;
const names = (size: number): string[] => Array.from({ length: size }, (_, place) => `lease ${place}`);
const types = { getTypeParser: () => (value: string) => value };

test.each([1, 300])('each lease is looked up by its key, planned on a table of %i rows', async (rows) => {
  await using database = await createDatabase();
  const [one, other] = [await open(database), await open(database)];
  const ask = (id: string, size: number, term?: number): Statement =>
    acquireLeases(
      'fencepost',
      { id, epoch: 0 },
      term,
      names(size).map((name) => ({
        ...plainAsk({ tenant: '', name }, randomUUID()),
        waits: term === undefined,
      })),
    );
  const first = await run(database, ask(one, rows));
  await run(database, releaseLeases('fencepost', one, heldOf(first, rows), false));
  // It has found that no row names any holder: one scan of all seems cheap.
  await database.query('vacuum analyze fencepost.lease');

  const taken = await lookups(database, ask(one, count, 60_000));
  const held = heldOf(taken.row, count);
  expect(held).toHaveLength(count);
  const refused = await lookups(database, ask(other, count));
  const renewed = await lookups(database, renewLeases('fencepost', one, 60_000, held));
  const known = await lookups(database, knownLeases('fencepost', one, held));
  const released = await lookups(database, releaseLeases('fencepost', one, held, false));
  for (const { asked } of [taken, refused, renewed, known, released])
    expect(asked).toBeGreaterThanOrEqual(count);
  // To try, to say why not, to mark it as wanted, and to find it again.
  expect(refused.asked).toBeGreaterThanOrEqual(4 * count);
  expect(renewed.asked).toBeGreaterThanOrEqual(2 * count);
});

async function open(database: TestDatabase): Promise<string> {
  const [row] = await database.query<{ id: string }>(`select fencepost.holder_open('1 hour', 'test') as id`);
  return row?.id ?? '';
}

function heldOf(row: Row | undefined, size: number): Held[] {
  const asks = names(size).map((name) => plainAsk({ tenant: '', name }, ''));
  return readAnswers(row, asks).flatMap((answer) => ('heldFor' in answer ? [] : [answer[0]]));
}

/** In a session of its own, in which nothing is planned yet. */
async function run(database: TestDatabase, { text, values }: Statement): Promise<Row | undefined> {
  await using pool = openPool(database.url, 1);
  const client = await pool.connect();
  try {
    return (await client.query<Row>({ text, values: [...values], types })).rows[0];
  } finally {
    client.release();
  }
}

/** The answer, and how often the index of the leases was asked: a session says so when it ends. */
async function lookups(database: TestDatabase, statement: Statement) {
  const before = await scans(database);
  const row = await run(database, statement);
  const after = await until('the session has told', async () => {
    const now = await scans(database);
    return now > before && now;
  });
  return { row, asked: after - before };
}

async function scans(database: TestDatabase): Promise<number> {
  const [row] = await database.query<{ count: string }>(
    `select idx_scan as count from pg_stat_all_indexes where schemaname = 'fencepost' and indexrelname = 'lease_pkey'`,
  );
  return Number(row?.count);
}
