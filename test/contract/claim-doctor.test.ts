import { type ClaimFinding, type ClaimOptions, Fencepost } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checks } from '../../src/claim/findings.ts';
import { type OldestFacts, readSurroundings, surroundings } from '../../src/sql/claim-doctor.ts';
import type { ClaimTable } from '../../src/sql/claim-table.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { createJobs, insertJobs, type JobTables, jobsOf } from '../support/jobs.ts';
import { pgbouncerFound, startPgbouncer } from '../support/pgbouncer.ts';
import { until } from '../support/until.ts';

type Options = Partial<ClaimOptions<JobTables, 'public.job'>>;

const codes = (findings: readonly ClaimFinding[]) => findings.map(({ code }) => code);

describe('a table that is well prepared has no findings, and each thing that is wrong is found and mended', () => {
  let database: TestDatabase;
  let fencepost: Fencepost;
  beforeAll(async () => {
    database = await createDatabase();
    fencepost = new Fencepost({ connection: database.url });
    await createJobs(database);
    await database.query('alter table public.job add column due integer default 0');
    await jobs().ensure();
    await insertJobs(database, 12_000);
    await database.query('alter table public.job set (fillfactor = 70)');
    await database.query('vacuum analyze public.job');
    expect(await jobs().doctor()).toEqual([]);
  });
  afterAll(async () => {
    await fencepost[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  });
  const jobs = (options: Options = {}) => {
    const settings: Options = { orderBy: ['weight desc', 'id'], ...options };
    return jobsOf(fencepost, database.pool, settings as object);
  };
  /** The statements of a remedy, each on its own, as somebody would paste them. */
  const mend = async ({ remedy }: ClaimFinding) => {
    for (const statement of remedy.split('; ')) await database.query(statement);
  };
  /** Finds exactly this, mends it as it says, and then finds nothing. */
  const foundAndMended = async (code: ClaimFinding['code'], problem: RegExp) => {
    const findings = await jobs().doctor();
    expect(codes(findings)).toEqual([code]);
    expect(findings[0]?.problem).toMatch(problem);
    await mend(findings[0] as ClaimFinding);
    expect(await jobs().doctor()).toEqual([]);
  };
  const indexes = async () =>
    (
      await database.query<{ name: string }>(
        `select indexname as name from pg_indexes where tablename = 'job' and indexname like 'fencepost%'`,
      )
    ).map(({ name }) => name);

  test('missing indexes, and the plan without them', async () => {
    for (const name of await indexes()) await database.query(`drop index public.${name}`);
    const findings = await jobs().doctor();
    expect(codes(findings)).toEqual(['index', 'index', 'plan']);
    expect(findings[2]?.problem).toMatch(/Seq Scan on job|Sort/);
    for (const finding of findings.slice(0, 2)) await mend(finding);
    expect(await jobs().doctor()).toEqual([]);
    expect(await jobs().claim({ limit: 1 })).toHaveLength(1);
  });

  test('an index whose build was interrupted', async () => {
    const [name] = await indexes();
    await database.query(
      `update pg_index set indisvalid = false where indexrelid = 'public.${name}'::regclass`,
    );
    const findings = await jobs().doctor();
    const found = findings.find(({ code }) => code === 'index');
    expect(found?.problem).toMatch(/^index fencepost_\w+ is not valid, because its build was interrupted/);
    await mend(found as ClaimFinding);
    expect(await jobs().doctor()).toEqual([]);
  });

  test('an index of somebody with the nulls on the other side', async () => {
    await database.query(
      `create index own on public.job (due desc nulls last, id) where status = 'new' and fencepost_holder is null`,
    );
    const findings = await jobs({ orderBy: ['due desc', 'id'] } as object as Options).doctor();
    expect(findings.filter(({ code }) => code === 'nulls')[0]).toEqual({
      code: 'nulls',
      problem: `index own has "due" with nulls last, claims order it with nulls first: they cannot walk it`,
      remedy: `say 'due desc nulls last' in orderBy, or create the index of ddl()`,
    });
    const agreed = await jobs({ orderBy: ['due desc nulls last', 'id'] } as object as Options).doctor();
    expect(codes(agreed)).not.toContain('nulls');
    await database.query('drop index own');
  });

  test('nulls that come before all others', async () => {
    const byDue = jobs({ orderBy: ['due desc', 'id'] } as object as Options);
    const findings = await byDue.doctor();
    expect(findings.filter(({ code }) => code === 'nulls')[0]?.problem).toBe(
      'rows whose "due" is null are claimed before all others: that is what desc means',
    );
    await mend({
      ...(findings.find(({ code }) => code === 'nulls') as ClaimFinding),
      remedy: 'alter table "public"."job" alter column "due" set not null',
    });
    expect(codes(await byDue.doctor())).not.toContain('nulls');
    await database.query('alter table public.job alter column due drop not null');
  });

  test('a column of the claims in an index', async () => {
    await database.query('create index watch on public.job (status) include (fencepost_attempts)');
    await foundAndMended('claim-column', /^index watch has a column of the claims in it/);
  });

  test('full pages', async () => {
    await database.query('alter table public.job reset (fillfactor)');
    const [found, ...others] = await jobs().doctor();
    expect(others).toEqual([]);
    expect(found?.problem).toMatch(/^pages are filled to 100 %/);
    await database.query(String(found?.remedy).replace(/; vacuum full.*/, ''));
    expect(await jobs().doctor()).toEqual([]);
  });

  test('autovacuum that is off, and one that does not keep up', async () => {
    await database.query('alter table public.job set (autovacuum_enabled = false)');
    // What a session has done, it reports at its end.
    const client = new pg.Client(database.url);
    await client.connect();
    await client.query('update public.job set weight = weight + 1');
    await client.end();
    const [off, ...more] = await jobs().doctor();
    expect([off?.code, off?.problem, more]).toEqual([
      'vacuum',
      'autovacuum is off for this table: claims step over more and more dead rows',
      [],
    ]);
    // Where nothing would begin before 10,000,000 rows it cannot come in between.
    await database.query(
      'alter table public.job set (autovacuum_enabled = true, autovacuum_vacuum_threshold = 10000000)',
    );
    // PostgreSQL 14 tells the statistics of a session later.
    const behind = await until('the statistics', async () => {
      const found = await jobs().doctor();
      return found.length > 0 && found;
    });
    expect(codes(behind)).toEqual(['vacuum']);
    expect(behind[0]?.problem).toMatch(/^\d+ dead rows and \d+ living: autovacuum does not keep up/);
    await database.query('alter table public.job reset (autovacuum_enabled, autovacuum_vacuum_threshold)');
    await mend(behind[0] as ClaimFinding);
    await database.query('vacuum analyze public.job');
    await until('the statistics', async () => (await jobs().doctor()).length === 0);
  });

  test('a transaction that is open for long, and what else holds old rows', async () => {
    const client = await database.pool.connect();
    await client.query('begin isolation level repeatable read; select from public.job limit 1');
    const [{ pid }] = (await client.query('select pg_backend_pid() as pid')).rows;
    expect(await jobs().doctor()).toEqual([]);
    const [table] = await database.query<{ oid: string }>(`select 'public.job'::regclass::oid::text as oid`);
    const about = { table: 'public.job', order: [], ...table } as unknown as ClaimTable;
    const { text, values } = surroundings(about);
    const facts = readSurroundings((await database.pool.query({ text, values: [...values] })).rows);
    expect(facts.oldest).toMatchObject({ kind: 'session', name: String(pid) });
    // Five minutes pass in what the server said of it, not here.
    const aged = (oldest: Partial<OldestFacts>) =>
      checks.flatMap((check) =>
        check({ ...facts, oldest: { ...(facts.oldest as OldestFacts), ...oldest } }, about, {}),
      );
    expect(aged({ seconds: 299 })).toEqual([]);
    expect(aged({ seconds: 301 })).toEqual([
      {
        code: 'transaction',
        problem: `the transaction of process ${pid} is open for 301 seconds: rows that are done since then cannot be cleaned up, and claims step over them`,
        remedy: `select pg_terminate_backend(${pid})`,
      },
    ]);
    expect(aged({ kind: 'prepared', name: 'x', seconds: 301 })[0]?.problem).toContain(
      "transaction 'x' is prepared",
    );
    expect(aged({ kind: 'slot', name: 's', seconds: null, transactions: 99_999 })).toEqual([]);
    expect(aged({ kind: 'slot', name: 's', seconds: null, transactions: 100_001 })[0]?.remedy).toContain(
      "pg_drop_replication_slot('s')",
    );
    expect(aged({ kind: 'standby', name: 'b', seconds: null, transactions: 100_001 })[0]?.problem).toContain(
      'a query on standby b',
    );
    await client.query('rollback');
    client.release();
  });

  test('hostile planner settings', async () => {
    const pool = new pg.Pool({
      connectionString: database.url,
      options: '-c enable_indexscan=off -c enable_indexonlyscan=off -c enable_bitmapscan=off',
    });
    const findings = await jobsOf(fencepost, pool, { orderBy: ['weight desc', 'id'] }).doctor();
    expect(codes(findings)).toEqual(['plan']);
    await pool.end();
  });

  test('an isolation that costs round trips', async () => {
    const url = new URL(database.url);
    const pool = new pg.Pool({
      connectionString: url.href,
      options: '-c default_transaction_isolation=serializable',
    });
    const findings = await jobsOf(fencepost, pool, { orderBy: ['weight desc', 'id'] }).doctor();
    expect(codes(findings)).toEqual(['isolation']);
    expect(findings[0]?.problem).toContain('transactions are serializable by default');
    await pool.end();
  });

  test('a pool of one connection, also one that gives up waiting', async () => {
    for (const limit of [{}, { connectionTimeoutMillis: 100 }]) {
      const pool = new pg.Pool({ connectionString: database.url, max: 1, ...limit });
      const findings = await jobsOf(fencepost, pool, { orderBy: ['weight desc', 'id'] }).doctor();
      expect(codes(findings)).toEqual(['pool']);
      await pool.end();
    }
  });

  test.runIf(pgbouncerFound)('a pooler', async () => {
    await using pooler = await startPgbouncer(database.url);
    await using pooled = new Fencepost({ connection: pooler.url });
    const settings: Options = { orderBy: ['weight desc', 'id'] };
    const findings = await jobsOf(pooled, database.pool, settings as object).doctor();
    expect(codes(findings)).toEqual(['pooler']);
  });
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
    `alter table task set (fillfactor = 70); insert into task (tenant) select n % 7 from generate_series(1, 5000) n`,
  );
  await database.query('vacuum analyze task');
  expect(await tasks.doctor()).toEqual([]);
});
