// Waits with settings of its own for a resource that is released meanwhile.
import { setTimeout as delay } from 'node:timers/promises';
import Client from 'ioredis';
import Redlock from 'redlock';

const redis = new Client(process.env.REDIS_URL);
const redlock = new Redlock([redis], { retryCount: 0 });

const lock = await redlock.acquire(['room:12'], 10_000);
const patient = { retryCount: -1, retryDelay: 25, retryJitter: 10 };
const events = [];
const waiting = redlock.using(['room:12'], 5000, patient, async () => {
  events.push('entered');
  return 42;
});
await delay(100);
events.push('left');
await lock.release();
console.log(await waiting, events);
await redis.quit();
