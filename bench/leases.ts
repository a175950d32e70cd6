/**
 * Acquire and release of distinct leases in one process, side by side: Fencepost (fsync on), @verrou/core on the same
 * Postgres through Kysely (a pool of 16), and on a local Redis without persistence redlock 5, as ioredis comes and with
 * its `enableAutoPipelining`. Rounds alternate, medians are compared. Needs `redis-server` (Debian: apt-get install
 * redis-server).
 *
 *   npm run bench:leases -- [--callers 1,16,256] [--seconds 2] [--rounds 5]
 */
import { parseArgs } from 'node:util';
import { Verrou } from '@verrou/core';
import { kyselyStore } from '@verrou/core/drivers/kysely';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { Fencepost } from '../src/index.ts';
import { migrate } from '../src/migrate.ts';
import { startEmbedded } from '../test/servers/embedded.ts';
import { Redlock, startRedis } from './redis.ts';
import { machine, type Side } from './sides.ts';
import { printTable } from './table.ts';

const { values } = parseArgs({
  options: {
    callers: { type: 'string', default: '1,16,256' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
  },
});

await using redis = await startRedis();
await using postgres = await startEmbedded({ fsync: true });
await migrate({ connection: postgres.url });
await using fencepost = new Fencepost({ connection: postgres.url });
const redlock = new Redlock([redis.client]);
const pipelined = new Redlock([redis.pipelined]);
const db = new Kysely({
  dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: postgres.url, max: 16 }) }),
});
const verrou = new Verrou({
  default: 'postgres',
  stores: { postgres: { driver: kyselyStore({ connection: db, autoCreateTable: true }) } },
});

const sides: Side[] = [
  {
    name: 'fencepost',
    async pair(caller) {
      const lease = await fencepost.leases.acquire(`caller-${caller}`);
      await lease.release();
    },
  },
  {
    name: 'redlock 5',
    async pair(caller) {
      const held = await redlock.acquire([`redlock-${caller}`], 30_000);
      await held.release();
    },
  },
  {
    name: 'redlock 5 pipelined',
    async pair(caller) {
      const held = await pipelined.acquire([`redlock-${caller}`], 30_000);
      await held.release();
    },
  },
  {
    name: 'verrou',
    async pair(caller) {
      const held = verrou.createLock(`verrou-${caller}`, '30s');
      if (!(await held.acquire())) throw new Error('not acquired');
      await held.release();
    },
  },
];

await printTable('durable leases, acquire and release', values.callers, () => sides, {
  seconds: Number(values.seconds),
  rounds: Number(values.rounds),
});
console.log(`${postgres.description}; Redis ${redis.version}, no persistence; ${machine}`);

await db.destroy();
