/**
 * Acquire and release of distinct session locks in one process, side by side: Fencepost, the bare pair of statements
 * through `pg` (one connection for one caller, else a pool of 16), and on a local Redis without persistence redlock 5,
 * as ioredis comes and with its `enableAutoPipelining`, and redis-semaphore with it. Rounds alternate, medians are
 * compared. Needs `redis-server` (Debian: apt-get install redis-server).
 *
 *   npm run bench:advisory -- [--callers 1,16,256,2000] [--seconds 2] [--rounds 5]
 */
import { parseArgs } from 'node:util';
import pg from 'pg';
import { Mutex } from 'redis-semaphore';
import { Fencepost } from '../src/index.ts';
import { startEmbedded } from '../test/servers/embedded.ts';
import { Redlock, startRedis } from './redis.ts';
import { machine, type Side } from './sides.ts';
import { printTable } from './table.ts';

const { values } = parseArgs({
  options: {
    callers: { type: 'string', default: '1,16,256,2000' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
  },
});

await using redis = await startRedis();
await using postgres = await startEmbedded({ fsync: true });
await using fencepost = new Fencepost({ connection: postgres.url });
const client = new pg.Client(postgres.url);
await client.connect();
const pool = new pg.Pool({ connectionString: postgres.url, max: 16 });
const redlock = new Redlock([redis.client]);
const pipelined = new Redlock([redis.pipelined]);

const lock = (key: number) => ({ name: 'lock', text: 'select pg_advisory_lock($1)', values: [key] });
const unlock = (key: number) => ({ name: 'unlock', text: 'select pg_advisory_unlock($1)', values: [key] });
const sidesFor = (callers: number): Side[] => [
  {
    name: 'fencepost',
    async pair(caller) {
      const held = await fencepost.advisory.acquire(`caller-${caller}`);
      await held.release();
    },
  },
  {
    name: 'bare statements',
    async pair(caller) {
      const pooled = callers === 1 ? undefined : await pool.connect();
      const connection = pooled ?? client;
      await connection.query(lock(caller));
      await connection.query(unlock(caller));
      pooled?.release();
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
    name: 'redis-semaphore pipelined',
    async pair(caller) {
      const mutex = new Mutex(redis.pipelined, `mutex-${caller}`, { lockTimeout: 30_000 });
      await mutex.acquire();
      await mutex.release();
    },
  },
];

await printTable('session locks, acquire and release', values.callers, sidesFor, {
  seconds: Number(values.seconds),
  rounds: Number(values.rounds),
});
console.log(`${postgres.description}; Redis ${redis.version}, no persistence; ${machine}`);

await client.end();
await pool.end();
