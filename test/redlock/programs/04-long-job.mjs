// A job that takes longer than its lock, which extends itself meanwhile.
import { setTimeout as delay } from 'node:timers/promises';
import Client from 'ioredis';
import Redlock from 'redlock';

const redis = new Client(process.env.REDIS_URL);
const redlock = new Redlock([redis], { automaticExtensionThreshold: 800 });
const other = new Redlock([redis], { retryCount: 0 });

const result = await redlock.using(['export'], 2000, async (signal) => {
  const refused = [];
  for (let step = 0; step < 4; step += 1) {
    await delay(900);
    refused.push(
      await other.acquire(['export'], 1000).then(
        () => false,
        () => true,
      ),
    );
  }
  return { aborted: signal.aborted, refused };
});
console.log(result);
const lock = await other.acquire(['export'], 1000);
await lock.release();
await redis.quit();
