import pg from 'pg';
import { Fencepost, fencedColumnSql } from '../fencepost.ts';
import type { Work } from '../runner/bench.ts';
import { interleave, rate } from '../runner/rounds.ts';

/** What the guard and a fenced column cost the writes that they stand before. */
export const guard: Work = {
  name: 'guard',
  title: 'Guard and fenced column',
  about:
    'Each caller updates a row of its own in a transaction: begin, update, commit, on a pool of 16. With the guard of a lease before the update; with a fenced column, which gets the token with the update. Next to it the same transaction without either.',
  async run(bench) {
    const { postgres, pool: preparing } = bench.servers;
    await using fencepost = new Fencepost({ connection: postgres });
    await preparing.query('create table bench_plain (id integer primary key, amount integer)');
    await preparing.query('create table bench_fenced (id integer primary key, amount integer)');
    for (const table of ['bench_plain', 'bench_fenced'])
      await preparing.query(`insert into ${table} select n, 0 from generate_series(0, 255) n`);
    await preparing.query(fencedColumnSql({ table: 'bench_fenced' }));
    const lease = await fencepost.leases.acquire('bench guard');
    const pool = new pg.Pool({ connectionString: postgres, max: 16 });
    const plain = 'update bench_plain set amount = amount + 1 where id = $1';
    const fenced = 'update bench_fenced set amount = amount + 1, fencing_token = $2 where id = $1';
    const transaction = (write: (client: pg.PoolClient, caller: number) => Promise<unknown>) => ({
      measure: (callers: number, seconds: number) =>
        rate(callers, seconds, async (caller) => {
          const client = await pool.connect();
          await client.query('begin');
          await write(client, caller);
          await client.query('commit');
          client.release();
        }),
    });
    const bare = (client: pg.PoolClient, caller: number) =>
      client.query({ name: 'plain', text: plain, values: [caller] });
    const points = [1, 16, 256];
    const sides = await interleave(
      [
        {
          name: 'guard and update',
          ...transaction(async (client, caller) => {
            await lease.guard(client);
            await bare(client, caller);
          }),
        },
        {
          name: 'update of a fenced column',
          ...transaction((client, caller) =>
            client.query({ name: 'fenced', text: fenced, values: [caller, lease.token] }),
          ),
        },
        { name: 'update alone', ...transaction(bare) },
      ],
      points,
      bench,
    );
    await pool.end();
    await preparing.query('drop table bench_plain, bench_fenced');
    return [
      {
        id: 'guard',
        title: 'Guarded writes',
        unit: 'transactions a second',
        better: 'more',
        across: 'callers',
        points: points.map(String),
        sides,
      },
    ];
  },
};
