// Version 4: a resource that is taken, and a lock that has expired.
const { setTimeout: delay } = require('node:timers/promises');
const Client = require('ioredis');
const Redlock = require('redlock');

const redis = new Client(process.env.REDIS_URL);
const redlock = new Redlock([redis], { retryCount: 2, retryDelay: 10, retryJitter: 0 });

async function main() {
  const lock = await redlock.lock(['a', 'b'], 5000);
  try {
    await redlock.lock(['b', 'c'], 5000);
  } catch (err) {
    console.log(err instanceof Redlock.LockError, err.name, err.attempts);
  }
  // Nothing of the call that was refused is left.
  const c = await redlock.lock('c', 1000);
  await delay(1300);
  const next = await redlock.lockWithOptions('c', 5000, { retryCount: 1, retryDelay: 5 });
  await c.extend(1000).catch((err) => console.log(err.name));
  await c.unlock().catch((err) => console.log(err.name));
  await Promise.all([lock.unlock(), next.unlock()]);
  console.log(lock.attempts, lock.attemptsRemaining, lock.expiration);
  await redis.quit();
}

main();
