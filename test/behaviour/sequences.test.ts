import pg from 'pg';
import { expect, test } from 'vitest';
import { startOwnServer } from '../support/postmaster.ts';
import { until } from '../support/until.ts';

test('a crash takes a sequence back to what was committed, so a number counts only after its commit', async () => {
  await using server = await startOwnServer({
    postgresFlags: ['-c', 'wal_writer_delay=10s', '-c', 'autovacuum=off'],
  });
  await server.query('create sequence s');
  const client = new pg.Client({ connectionString: server.url });
  client.on('error', () => {});
  await client.connect();
  const draw = async (): Promise<number> =>
    Number((await client.query(`select nextval('s') as n`)).rows[0].n);
  const committed = await draw();
  await client.query('checkpoint');
  await client.query('begin');
  // Past the 32 numbers that one record of the WAL stands for.
  let uncommitted = 0;
  for (let round = 0; round < 100; round += 1) uncommitted = await draw();
  await server.crash();
  const after = await until('the server', async () => {
    const rows = await server.query<{ n: string }>(`select nextval('s') as n`).catch(() => []);
    return rows[0] !== undefined && Number(rows[0].n);
  });
  expect(after).toBeGreaterThan(committed);
  expect(after).toBeLessThan(uncommitted);
});
