/** What a process does whose connections and memory are counted. */
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import pg from 'pg';
import { lockPeer } from '../peers/locks.ts';
import { rate } from '../runner/rounds.ts';
import type { Places } from '../runner/servers.ts';

/** Sessions of clients, without the server's own processes. */
export const clientsOf = "select count(*) from pg_stat_activity where backend_type = 'client backend'";

export function resident(): number {
  return process.memoryUsage.rss();
}

export async function work(name: string, places: Places, seconds: number, before: number) {
  const peer = lockPeer(name);
  await using client = await peer.open(places);
  const looking = new pg.Client(places.postgres);
  await looking.connect();
  const redis = new Redis(places.redis);
  await redis.ping();
  const own = 1;
  const others = peer.server === 'postgres' ? before : 0;
  const count = async (): Promise<number> => {
    if (peer.server !== 'postgres')
      return String(await redis.client('LIST'))
        .trim()
        .split('\n').length;
    return Number((await looking.query(clientsOf)).rows[0].count);
  };
  let most = 0;
  const done = rate(256, seconds, async (caller) => {
    const held = await client.acquire(`caller-${caller}`);
    await held.release();
  });
  let running = true;
  done.finally(() => (running = false)).catch(() => {});
  while (running) {
    most = Math.max(most, (await count()) - own - others);
    await Promise.race([done, delay(100)]);
  }
  await done;
  const used = resident();
  await looking.end();
  redis.disconnect();
  return { most, resident: used };
}
