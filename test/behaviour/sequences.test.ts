import pg from 'pg';
import { expect, test } from 'vitest';
import { startOwnServer } from '../support/postmaster.ts';
import { until } from '../support/until.ts';

const limit = { timeout: 60_000 };

test(
  'a crash can take a sequence back to what was committed, so a number counts only after its commit',
  limit,
  async () => {
    await using server = await startOwnServer({
      postgresFlags: ['-c', 'wal_writer_delay=10s', '-c', 'autovacuum=off'],
    });
    await server.query('create sequence s');
    // Past the 32 numbers that one record of the WAL stands for.
    const draw = async (from: { query: typeof server.query }): Promise<number> => {
      const [row] = await from.query<{ n: string }>(
        `select max(nextval('s')) as n from generate_series(1, 100)`,
      );
      return Number(row?.n);
    };
    let wentBack = false;
    // Now and then the WAL writer, which wakes every ten seconds, writes the record in time.
    for (let crash = 0; crash < 5 && !wentBack; crash += 1) {
      const committed = await draw(server);
      await server.query('checkpoint');
      const client = new pg.Client({ connectionString: server.url });
      client.on('error', () => {});
      await client.connect();
      await client.query('begin');
      const query = async <Row extends pg.QueryResultRow>(text: string): Promise<Row[]> =>
        (await client.query<Row>(text)).rows;
      const uncommitted = await draw({ query });
      await server.crash();
      const after = Number(await until('the server', () => draw(server).catch(() => false)));
      expect(after).toBeGreaterThan(committed);
      wentBack = after - 100 < uncommitted;
    }
    expect(wentBack).toBe(true);
  },
);
