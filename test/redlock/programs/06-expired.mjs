// A worker that was too slow: its lock has passed on, and can be neither extended nor released.
import { setTimeout as delay } from 'node:timers/promises';
import Client from 'ioredis';
import Redlock, { ExecutionError } from 'redlock';

const redis = new Client(process.env.REDIS_URL);
const redlock = new Redlock([redis], { retryCount: 1, retryDelay: 20, retryJitter: 0 });

const slow = await redlock.acquire(['invoice:7'], 1000);
await delay(1300);
const quick = await redlock.acquire(['invoice:7'], 10_000);
const outcome = (work) =>
  work.then(
    () => 'done',
    (error) => error instanceof ExecutionError,
  );
console.log(slow.expiration < Date.now());
console.log(await outcome(slow.extend(1000)));
console.log(await outcome(slow.release()));
console.log(await outcome(redlock.acquire(['invoice:7'], 1000)));
console.log(await outcome(quick.release()));
await redis.quit();
