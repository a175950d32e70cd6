// Version 4: jobs of one customer one after the other, those of others meanwhile.
const { setTimeout: delay } = require('node:timers/promises');
const Client = require('ioredis');
const Redlock = require('redlock');

const redis = new Client(process.env.REDIS_URL);
const redlock = new Redlock([redis], { retryCount: 500, retryDelay: 10, retryJitter: 5 });
const running = { x: 0, y: 0 };
const most = { x: 0, y: 0, all: 0 };

async function work(customer) {
  const lock = await redlock.lock(`customer:${customer}`, 4000);
  try {
    running[customer] += 1;
    most[customer] = Math.max(most[customer], running[customer]);
    most.all = Math.max(most.all, running.x + running.y);
    await delay(30);
    running[customer] -= 1;
  } finally {
    await lock.unlock();
  }
}

Promise.all(['x', 'x', 'x', 'y', 'y', 'y'].map(work))
  .then(() => console.log(most))
  .finally(() => redis.quit());
