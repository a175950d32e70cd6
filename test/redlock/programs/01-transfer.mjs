// Transfers between accounts, each under the locks of both, in whatever order they are named.
import Client from 'ioredis';
import Redlock from 'redlock';

const redis = new Client(process.env.REDIS_URL);
const redlock = new Redlock([redis], { retryCount: 200, retryDelay: 20, retryJitter: 10 });

const balances = { alice: 100, bob: 100, carol: 100 };
let inside = 0;
let most = 0;

async function transfer(sender, recipient, amount) {
  await redlock.using([`account:${sender}`, `account:${recipient}`], 5000, async (signal) => {
    inside += 1;
    most = Math.max(most, inside);
    const [from, to] = [balances[sender], balances[recipient]];
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (signal.aborted) throw signal.error;
    balances[sender] = from - amount;
    balances[recipient] = to + amount;
    inside -= 1;
  });
}

await Promise.all([
  transfer('alice', 'bob', 10),
  transfer('bob', 'alice', 5),
  transfer('bob', 'carol', 20),
  transfer('carol', 'alice', 1),
  transfer('alice', 'carol', 7),
]);
console.log(balances, 'most at a time:', most);
await redis.quit();
