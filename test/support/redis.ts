import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';

/** A Redis of one test. */
export interface RedisServer extends AsyncDisposable {
  readonly url: string;
}

const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };

export const redisFound = ((): boolean => {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore', env });
    return true;
  } catch {
    console.info('No redis-server on the path: the tests with it do not run.');
    return false;
  }
})();

/** Starts one with nothing on disk. */
export async function startRedis(): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'fencepost-redis-'));
  const port = await freePort();
  const flags = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    folder,
  ];
  const server = spawn('redis-server', flags, { stdio: 'ignore', env });
  const ended = once(server, 'exit');
  const url = `redis://127.0.0.1:${port}`;
  const client = new Redis(url, { retryStrategy: () => 20, maxRetriesPerRequest: null });
  client.on('error', () => {});
  try {
    const answer = await Promise.race([client.ping(), ended.then(() => 'ended')]);
    if (answer !== 'PONG') throw new Error('redis-server did not start');
  } finally {
    client.disconnect();
  }
  return {
    url,
    async [Symbol.asyncDispose]() {
      server.kill('SIGKILL');
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
