import { Redis } from 'ioredis';
import { createLock, IoredisAdapter, LockAcquisitionError } from 'redlock-universal';
import { insist, type LockPeer, lasting } from './peer.ts';

const gaveUp = (error: unknown): boolean => error instanceof LockAcquisitionError;

function peer(name: string, server: 'redis' | 'redisAlways', more: string): LockPeer {
  return {
    name,
    settings: `redlock-universal 0.8.5 in its fast mode, performance: 'lean', else its defaults (3 retries, 100 ms apart), on ioredis as it comes; asked again when it gives up${more}`,
    server,
    async open(places) {
      const client = new Redis(places[server]);
      const adapter = new IoredisAdapter(client);
      return {
        async acquire(key) {
          const lock = createLock({ adapter, key, ttl: 30_000, performance: 'lean' });
          const handle = await insist(() => lock.acquire(), gaveUp);
          return { release: () => lock.release(handle) };
        },
        hold(key, ttl) {
          const lock = createLock({ adapter, key, ttl, performance: 'lean' });
          return insist(() => lasting((during) => lock.using(during)), gaveUp);
        },
        async [Symbol.asyncDispose]() {
          await client.quit();
        },
      };
    },
  };
}

export const redlockUniversal = peer('redlock-universal', 'redis', '');
export const redlockUniversalAlways = peer(
  'redlock-universal, always',
  'redisAlways',
  '; appendfsync always',
);
