// A cron job that may run once in so much time. It leaves its lock behind when it ends; the next one finds it there.
import { setTimeout as delay } from 'node:timers/promises';
import Client from 'ioredis';
import Redlock, { ExecutionError } from 'redlock';

async function cron(duration) {
  const redis = new Client(process.env.REDIS_URL);
  const redlock = new Redlock([redis], { retryCount: 0 });
  try {
    await redlock.acquire(['digest'], duration);
    return 'sent';
  } catch (error) {
    if (!(error instanceof ExecutionError)) throw error;
    return 'not again';
  } finally {
    await redis.quit();
  }
}

console.log(await cron(4_000));
console.log(await cron(4_000));
for (;;) {
  await delay(200);
  const outcome = await cron(4_000);
  if (outcome === 'not again') continue;
  console.log(outcome);
  break;
}
