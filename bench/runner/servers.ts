import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import { startEmbedded } from '../../test/servers/embedded.ts';
import { migrate } from '../fencepost.ts';

/** Where the servers are that everybody is measured on. */
export interface Places {
  readonly postgres: string;
  /** Without persistence. */
  readonly redis: string;
  /** With `appendfsync always`. */
  readonly redisAlways: string;
}

export interface Servers extends Places, AsyncDisposable {
  readonly versions: readonly string[];
  /** A pool for looks at Postgres, and for preparing. */
  readonly pool: pg.Pool;
}

/** Something that the machine has to have is not there. */
export class MissingServer extends Error {}

const memory = ['--save', '', '--appendonly', 'no'];
const always = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always'];

/** Starts Postgres, with a disk that is waited for, and two servers of Redis. Fails clearly when there is no Redis. */
export async function startServers(): Promise<Servers> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis(memory));
  const redisAlways = stack.use(await startRedis(always));
  const postgres = stack.use(await startEmbedded({ fsync: true, maxConnections: 400 }));
  await migrate({ connection: postgres.url });
  const pool = new pg.Pool({ connectionString: postgres.url, max: 4 });
  pool.on('error', () => {});
  stack.defer(() => pool.end());
  const kept = stack.move();
  return {
    postgres: postgres.url,
    redis: redis.url,
    redisAlways: redisAlways.url,
    versions: [
      `${postgres.description.replace(/, at .*/, '')}, fsync on, its default settings but for max_connections`,
      `Redis ${redis.version}, two servers: without persistence, and with appendonly and appendfsync always`,
    ],
    pool,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function startRedis(flags: string[]): Promise<AsyncDisposable & { url: string; version: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'fencepost-bench-'));
  const port = await freePort();
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };
  const server = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, ...flags],
    {
      stdio: 'ignore',
      env,
    },
  );
  // However this process ends.
  const kill = (): void => {
    server.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', kill);
  const failed = new Promise<never>((_, reject) => {
    server.once('error', (error) => {
      const message = `redis-server could not be started (${error.message}). Debian: apt-get install redis-server`;
      reject(new MissingServer(message));
    });
    server.once('exit', (code) => reject(new Error(`redis-server ended with ${code}`)));
  });
  failed.catch(() => {});
  const url = `redis://127.0.0.1:${port}`;
  const client = new Redis(url, { maxRetriesPerRequest: null, retryStrategy: () => 20 });
  // The server may not listen yet: it tries again.
  client.on('error', () => {});
  try {
    await Promise.race([client.ping(), failed]);
    const version = /redis_version:(\S+)/.exec(await client.info('server'))?.[1] ?? 'unknown';
    return {
      url,
      version,
      async [Symbol.asyncDispose]() {
        const ended = once(server, 'exit');
        server.kill();
        await ended;
        process.off('exit', kill);
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  } finally {
    client.disconnect();
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  return port;
}
