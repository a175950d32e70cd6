// Many requests miss the cache at once, and one of them computes.
import { setTimeout as delay } from 'node:timers/promises';
import Client from 'ioredis';
import Redlock from 'redlock';

const redis = new Client(process.env.REDIS_URL);
const redlock = new Redlock([redis], { retryCount: 400, retryDelay: 10, retryJitter: 5 });

const cache = new Map();
let computed = 0;

async function price(product) {
  if (cache.has(product)) return cache.get(product);
  return redlock.using([`price:${product}`], 3000, async () => {
    if (cache.has(product)) return cache.get(product);
    computed += 1;
    await delay(50);
    cache.set(product, 9.99);
    return 9.99;
  });
}

const prices = await Promise.all(Array.from({ length: 8 }, () => price('pen')));
console.log(new Set(prices), computed);

// What a routine throws comes out, and its lock is free.
await redlock
  .using(['price:ink'], 3000, async () => {
    throw new RangeError('no such product');
  })
  .catch((error) => console.log(error.name, error.message));
await redlock.using(['price:ink'], 3000, async () => console.log('again'));
await redis.quit();
