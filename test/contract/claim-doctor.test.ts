import { Fencepost } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { createJobs, insertJobs, jobsOf } from '../support/jobs.ts';

test('a table that is well prepared has no findings, and each thing that is wrong is found and mended', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await using fencepost = new Fencepost({ connection: database.url });
  const jobs = jobsOf(fencepost, database.pool, { orderBy: ['weight desc', 'id'] });
  await jobs.ensure();
  await insertJobs(database, 5_000);
  await database.query('analyze public.job');
  expect(await jobs.doctor()).toEqual([]);

  const indexes = await database.query<{ name: string }>(
    `select indexname as name from pg_indexes where tablename = 'job' and indexname like 'fencepost%'`,
  );
  for (const { name } of indexes) await database.query(`drop index public.${name}`);
  const findings = await jobs.doctor();
  expect(findings.map(({ code }) => code)).toEqual(['index', 'index', 'plan']);
  expect(findings[2]?.problem).toMatch(/Seq Scan on job|Sort/);
  for (const { code, remedy } of findings) {
    if (code === 'index') await database.query(remedy.replace(/; where.*/, ''));
  }
  expect(await jobs.doctor()).toEqual([]);
  expect(await jobs.claim({ limit: 1 })).toHaveLength(1);
});

test('an isolation that costs round trips is found', async () => {
  await using database = await createDatabase();
  await createJobs(database);
  await database.query(`alter database ${database.name} set default_transaction_isolation = 'serializable'`);
  await using fencepost = new Fencepost({ connection: database.url });
  const pool = new pg.Pool({ connectionString: database.url });
  const jobs = jobsOf(fencepost, pool);
  await jobs.ensure();
  expect((await jobs.doctor()).map(({ code }) => code)).toEqual(['isolation']);
  await pool.end();
});

test.each([
  { storage: 'sidecar' },
  { storage: 'held' },
  { fair: true },
  { storage: 'sidecar', fair: true },
  { perKey: { by: 'tenant', limit: 1 } },
  { storage: 'sidecar', perKey: { by: 'tenant', limit: 3 } },
])('%j needs no more than ensure() makes', async (options) => {
  await using database = await createDatabase();
  await database.query(
    `create table task (id integer generated always as identity primary key, tenant text not null)`,
  );
  await using fencepost = new Fencepost({ connection: database.url });
  const tasks = fencepost.claims.define<{ task: { id: number; tenant: string } }, 'task'>({
    db: new Kysely({ dialect: new PostgresDialect({ pool: database.pool }) }),
    table: 'task',
    key: 'id',
    tenant: 'tenant',
    orderBy: ['id'],
    done: 'delete',
    ...options,
  } as never);
  await tasks.ensure();
  await database.query(
    `insert into task (tenant) select n % 7 from generate_series(1, 5000) n; analyze task`,
  );
  expect(await tasks.doctor()).toEqual([]);
});
