import { createRequire } from 'node:module';
import { Redis } from 'ioredis';
import { insist, type LockPeer, lasting } from './peer.ts';

interface Lock {
  release(): Promise<unknown>;
}

interface Redlock5 {
  acquire(keys: string[], ttl: number): Promise<Lock>;
  using(keys: string[], ttl: number, settings: object, run: () => Promise<void>): Promise<void>;
}

/** Its declarations do not say how an ES module gets at the class. */
const { default: Redlock } = createRequire(import.meta.url)('redlock') as {
  default: new (clients: Redis[], settings?: object) => Redlock5;
};

const gaveUp = (error: unknown): boolean => (error as Error).name === 'ExecutionError';

function peer(name: string, server: 'redis' | 'redisAlways', options: object, settings: string): LockPeer {
  return {
    name,
    settings,
    server,
    async open(places) {
      const client = new Redis(places[server], options);
      const redlock = new Redlock([client]);
      return {
        acquire: (key) => insist(() => redlock.acquire([key], 30_000), gaveUp),
        hold: (key, ttl) => insist(() => lasting((during) => redlock.using([key], ttl, {}, during)), gaveUp),
        async [Symbol.asyncDispose]() {
          await client.quit();
        },
      };
    },
  };
}

const defaults =
  'redlock 5.0.0-beta.2 with its defaults (10 retries, 200 ms and a jitter of 200 ms) on ioredis as it comes; asked again when it gives up';

export const redlock = peer('redlock 5', 'redis', {}, defaults);
export const redlockAlways = peer('redlock 5, always', 'redisAlways', {}, `${defaults}; appendfsync always`);
/** Not what its documentation asks for, and faster with many callers. */
export const redlockPipelined = peer(
  'redlock 5, pipelined',
  'redis',
  { enableAutoPipelining: true },
  `${defaults}; with enableAutoPipelining of ioredis, which its documentation does not ask for`,
);
