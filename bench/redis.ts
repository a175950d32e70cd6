import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';

/** A Redis of our own, without persistence. */
export interface RedisServer extends AsyncDisposable {
  /** As ioredis comes. */
  readonly client: Redis;
  /** With its `enableAutoPipelining`. */
  readonly pipelined: Redis;
  readonly version: string;
}

/** The class of node-redlock 5: its declarations do not say how an ES module gets at it. */
export const { default: Redlock } = (await import('redlock')) as unknown as {
  default: new (
    clients: Redis[],
    settings?: Record<string, number>,
  ) => {
    acquire(keys: string[], ttl: number): Promise<{ release(): Promise<unknown> }>;
  };
};

export async function startRedis(): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'fencepost-bench-'));
  const port = await freePort();
  const server = spawn('redis-server', ['--port', String(port), '--save', '', '--appendonly', 'no'], {
    cwd: folder,
    stdio: 'ignore',
  });
  server.once('error', (error) => {
    console.error(
      `redis-server could not be started (Debian: apt-get install redis-server): ${error.message}`,
    );
    process.exit(1);
  });
  const client = new Redis(port, { maxRetriesPerRequest: null });
  const pipelined = new Redis(port, { enableAutoPipelining: true, maxRetriesPerRequest: null });
  // The server may not listen yet: they try again.
  for (const one of [client, pipelined]) one.on('error', () => {});
  await Promise.all([client.ping(), pipelined.ping()]);
  return {
    client,
    pipelined,
    version: /redis_version:(\S+)/.exec(await client.info('server'))?.[1] ?? 'unknown',
    async [Symbol.asyncDispose]() {
      client.disconnect();
      pipelined.disconnect();
      const ended = once(server, 'exit');
      server.kill();
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  return port;
}
