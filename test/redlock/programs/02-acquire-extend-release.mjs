// The usual shape: acquire, extend on the way, release in finally.
import Client from 'ioredis';
import Redlock from 'redlock';

const redis = new Client(process.env.REDIS_URL);
const redlock = new Redlock([redis], { driftFactor: 0.01, retryCount: 0 });

let lock = await redlock.acquire(['report'], 5000);
const first = lock;
console.log(lock.resources, lock.expiration > Date.now() + 4000, lock.attempts.length);
try {
  lock = await lock.extend(8000);
  console.log(lock.expiration > Date.now() + 7000, lock.value === first.value, first.expiration);
} finally {
  const { attempts } = await lock.release();
  const stats = await attempts[0];
  console.log(stats.membershipSize, stats.quorumSize, stats.votesFor.size, stats.votesAgainst.size);
}
console.log('released', lock.expiration);
const next = await redlock.acquire(['report'], 1000);
await redlock.release(next);
await redis.quit();
