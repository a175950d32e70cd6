import { Verrou } from '@verrou/core';
import { kyselyStore } from '@verrou/core/drivers/kysely';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { LockPeer } from './peer.ts';

export const verrou: LockPeer = {
  name: 'verrou',
  settings:
    '@verrou/core 0.5.2 with kyselyStore on a pg.Pool of 16 and its defaults (retry each 250 ms, ttl 30 s); it renews nothing by itself, so a held lock is extended each half of its ttl',
  server: 'postgres',
  holds: { point: 10_000, why: '100,000 want 20,000 extensions a second, more than it can send' },
  async open({ postgres }) {
    const pool = new pg.Pool({ connectionString: postgres, max: 16 });
    pool.on('error', () => {});
    const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
    const stores = { postgres: { driver: kyselyStore({ connection: db, autoCreateTable: true }) } };
    const factory = new Verrou({ default: 'postgres', stores });
    const acquire = async (key: string, ttl: number) => {
      const lock = factory.createLock(key, ttl);
      if (!(await lock.acquire())) throw new Error(`verrou did not acquire ${key}`);
      return lock;
    };
    return {
      acquire: (key) => acquire(key, 30_000),
      async hold(key, ttl) {
        const lock = await acquire(key, ttl);
        const timer = setInterval(async () => {
          try {
            await lock.extend(ttl);
          } catch (error) {
            clearInterval(timer);
            throw error;
          }
        }, ttl / 2);
        return {
          release: () => {
            clearInterval(timer);
            return lock.release();
          },
        };
      },
      [Symbol.asyncDispose]: () => db.destroy(),
    };
  },
};
