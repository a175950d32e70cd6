import { Redis } from 'ioredis';
import { Mutex, TimeoutError } from 'redis-semaphore';
import { insist, type LockPeer } from './peer.ts';

function peer(name: string, server: 'redis' | 'redisAlways', more: string): LockPeer {
  return {
    name,
    settings: `redis-semaphore 5.8 with its defaults (retry each 10 ms, refresh after 0.8 of lockTimeout) on ioredis as it comes, lockTimeout 30 s${more}`,
    server,
    async open(places) {
      const client = new Redis(places[server]);
      const acquire = async (key: string, lockTimeout: number) => {
        const mutex = new Mutex(client, key, { lockTimeout });
        await insist(
          () => mutex.acquire(),
          (error) => error instanceof TimeoutError,
        );
        return mutex;
      };
      return {
        acquire: (key) => acquire(key, 30_000),
        hold: acquire,
        async [Symbol.asyncDispose]() {
          await client.quit();
        },
      };
    },
  };
}

export const redisSemaphore = peer('redis-semaphore', 'redis', '');
export const redisSemaphoreAlways = peer('redis-semaphore, always', 'redisAlways', '; appendfsync always');
