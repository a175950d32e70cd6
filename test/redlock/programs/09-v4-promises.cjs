// Version 4, with promises.
const Client = require('ioredis');
const Redlock = require('redlock');

const redis = new Client(process.env.REDIS_URL);
const redlock = new Redlock([redis], { driftFactor: 0.01, retryCount: 10, retryDelay: 20, retryJitter: 20 });

redlock.on('clientError', (err) => console.error('A redis error has occurred:', err));

redlock
  .lock('locks:account:322456', 1000)
  .then((lock) => {
    console.log(lock.expiration > Date.now(), lock.resource);
    const before = lock.expiration;
    return lock.extend(5000).then((extended) => {
      console.log(extended === lock, lock.expiration > before);
      return lock.unlock();
    });
  })
  .then(() => redlock.lock('locks:account:322456', 1000))
  .then((lock) => redlock.unlock(lock))
  .then(() => console.log('free'))
  .finally(() => redis.quit());
