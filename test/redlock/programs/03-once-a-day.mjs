// Several servers start a job at the same minute: the first one runs it, and nobody releases.
import Client from 'ioredis';
import Redlock, { ExecutionError, ResourceLockedError } from 'redlock';

const servers = [1, 2, 3].map(() => new Client(process.env.REDIS_URL));

async function nightly(redis) {
  const redlock = new Redlock([redis], { retryCount: 0 });
  try {
    await redlock.acquire(['nightly:2024-05-01'], 60_000);
    return 'ran';
  } catch (error) {
    if (!(error instanceof ExecutionError)) throw error;
    const [stats] = await Promise.all(error.attempts);
    const [reason] = stats.votesAgainst.values();
    return `skipped: ${reason instanceof ResourceLockedError}`;
  }
}

const outcomes = await Promise.all(servers.map(nightly));
console.log(outcomes.sort());
console.log(await nightly(servers[0]));
await Promise.all(servers.map((redis) => redis.quit()));
