// Version 4, with callbacks.
const Client = require('ioredis');
const Redlock = require('redlock');

const redis = new Client(process.env.REDIS_URL);
const redlock = new Redlock([redis]);

redlock.lock('locks:session', 1000, (err, lock) => {
  if (err) throw err;
  lock.extend(2000, (err, extended) => {
    if (err) throw err;
    console.log('extended', extended === lock);
    lock.unlock((err) => {
      if (err) throw err;
      redlock.acquire('locks:session', 1000, (err, again) => {
        if (err) throw err;
        redlock.release(again, (err) => {
          console.log('released', err == null);
          redis.quit();
        });
      });
    });
  });
});
