/**
 * Acquire and release of distinct leases in one process: through Fencepost, whose concurrent calls travel together on
 * two connections, against the same two statements sent one by one over a pool of 16 connections. Rounds alternate,
 * medians are compared, fsync is on.
 *
 *   npm run bench:group-commit -- [--callers 256] [--seconds 3] [--rounds 5]
 */
import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { Fencepost } from '../src/index.ts';
import { migrate } from '../src/migrate.ts';
import { startEmbedded } from '../test/servers/embedded.ts';
import { compare, machine } from './sides.ts';

const { values } = parseArgs({
  options: {
    callers: { type: 'string', default: '256' },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
  },
});
const callers = Number(values.callers);

await using server = await startEmbedded({ fsync: true });
await migrate({ connection: server.url });
await using fencepost = new Fencepost({ connection: server.url });
const pool = new pg.Pool({ connectionString: server.url, max: 16 });
const { rows } = await pool.query("select fencepost.holder_open('1 hour', 'bench') as id");
const holder: string = rows[0].id;

const [ours = 0, oneByOne = 1] = await compare(
  [
    {
      name: 'fencepost',
      async pair(caller) {
        const lease = await fencepost.leases.acquire(`caller-${caller}`);
        await lease.release();
      },
    },
    {
      name: 'one statement each',
      async pair(caller) {
        const key = `bare-${caller}`;
        const acquired = await pool.query({
          name: 'acquire',
          text: 'select * from fencepost.lease_acquire($1, 0, null, $2, $3, $4)',
          values: [holder, [''], [key], [randomUUID()]],
        });
        await pool.query({
          name: 'release',
          text: 'select fencepost.lease_release($1, $2, $3, $4, $5)',
          values: [holder, [''], [key], [0], acquired.rows[0].tokens],
        });
      },
    },
  ],
  { callers, seconds: Number(values.seconds), rounds: Number(values.rounds) },
);
console.log(`leases, ${callers} callers, median of ${values.rounds} rounds, pairs a second:`);
console.log(`  fencepost, 2 connections            ${Math.round(ours)}`);
console.log(`  one statement each, 16 connections  ${Math.round(oneByOne)}`);
console.log(`  ratio                               ${(ours / oneByOne).toFixed(1)}`);
console.log(`${server.description}, fsync on; ${machine}`);
await pool.end();
