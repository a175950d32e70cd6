// Logs what goes wrong, but for resources that are just taken.
import Client from 'ioredis';
import Redlock, { ResourceLockedError } from 'redlock';

const redis = new Client(process.env.REDIS_URL);
const redlock = new Redlock([redis], { retryCount: 2, retryDelay: 10, retryJitter: 0 });

let locked = 0;
redlock.on('error', (error) => {
  if (error instanceof ResourceLockedError) {
    locked += 1;
    return;
  }
  console.error(error);
});

const lock = await redlock.acquire(['queue'], 10_000);
try {
  await redlock.acquire(['queue'], 10_000);
} catch (error) {
  console.log(error.name, error.attempts.length, locked >= 3);
}
await lock.release();
await redlock.using(['queue'], 10_000, async () => console.log('free again'));
await redis.quit();
