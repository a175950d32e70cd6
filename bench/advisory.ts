/**
 * Acquire and release of distinct session locks in one process, side by side: Fencepost, the bare pair of statements
 * through `pg` (one connection for one caller, else a pool of 16), and on a local Redis without persistence redlock 5,
 * as ioredis comes and with its `enableAutoPipelining`, and redis-semaphore with it. Rounds alternate, medians are compared. Needs `redis-server` (Debian: apt-get install
 * redis-server).
 *
 *   npm run bench:advisory -- [--callers 1,16,256,2000] [--seconds 2] [--rounds 5]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import pg from 'pg';
import { Mutex } from 'redis-semaphore';
import { Fencepost } from '../src/index.ts';
import { startEmbedded } from '../test/servers/embedded.ts';
import { compare, machine, type Side } from './sides.ts';

// Its declarations do not say how an ES module gets at the class.
const { default: Redlock } = (await import('redlock')) as unknown as {
  default: new (
    clients: Redis[],
  ) => {
    acquire(keys: string[], ttl: number): Promise<{ release(): Promise<unknown> }>;
  };
};

const { values } = parseArgs({
  options: {
    callers: { type: 'string', default: '1,16,256,2000' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
  },
});

const folder = await mkdtemp(join(tmpdir(), 'fencepost-bench-'));
const port = await freePort();
const server = spawn('redis-server', ['--port', String(port), '--save', '', '--appendonly', 'no'], {
  cwd: folder,
  stdio: 'ignore',
});
server.once('error', (error) => {
  console.error(`redis-server could not be started: ${error.message}`);
  process.exit(1);
});
const redis = new Redis(port, { maxRetriesPerRequest: null });
const pipelined = new Redis(port, { enableAutoPipelining: true, maxRetriesPerRequest: null });
await Promise.all([redis.ping(), pipelined.ping()]);

await using postgres = await startEmbedded({ fsync: true });
await using fencepost = new Fencepost({ connection: postgres.url });
const client = new pg.Client(postgres.url);
await client.connect();
const pool = new pg.Pool({ connectionString: postgres.url, max: 16 });
const redlock = new Redlock([redis]);
const pipelinedRedlock = new Redlock([pipelined]);

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
    name: callers === 1 ? 'bare statements' : 'bare statements, pool of 16',
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
      const held = await pipelinedRedlock.acquire([`redlock-${caller}`], 30_000);
      await held.release();
    },
  },
  {
    name: 'redis-semaphore pipelined',
    async pair(caller) {
      const mutex = new Mutex(pipelined, `mutex-${caller}`, { lockTimeout: 30_000 });
      await mutex.acquire();
      await mutex.release();
    },
  },
];

const table: Record<string, Record<string, string>> = {};
for (const callers of values.callers.split(',').map(Number)) {
  const sides = sidesFor(callers);
  const medians = await compare(sides, {
    callers,
    seconds: Number(values.seconds),
    rounds: Number(values.rounds),
  });
  const ours = medians[0] ?? 0;
  table[callers] = Object.fromEntries(
    sides.map(({ name }, place) => {
      const figure = medians[place] ?? 1;
      const ratio = place === 0 ? '' : ` (fencepost: ${(ours / figure).toFixed(2)} times)`;
      return [name.split(',')[0] ?? name, `${Math.round(figure)}${ratio}`];
    }),
  );
}
console.log(
  `session locks: acquire and release pairs a second by callers, median of ${values.rounds} rounds`,
);
console.table(table);
const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1];
console.log(`${postgres.description}; Redis ${version}, no persistence; ${machine}`);

await client.end();
await pool.end();
redis.disconnect();
pipelined.disconnect();
server.kill();
await once(server, 'exit');
await rm(folder, { recursive: true, force: true });

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port: free } = probe.address() as AddressInfo;
  probe.close();
  return free;
}
