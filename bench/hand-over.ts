/**
 * From the release in one process to the next holder in another one, which waits: leases of Fencepost, the bare round
 * trip (a NOTIFY, and the statement of whoever hears it), and redlock 5 with its default retry settings on a local Redis.
 * Two processes take turns; the time is from the call of the release to the end of the acquire.
 *
 *   npm run bench:hand-over -- [--turns 200]
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { hrtime } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import pg from 'pg';
import { Fencepost } from '../src/index.ts';
import { migrate } from '../src/migrate.ts';
import { startEmbedded } from '../test/servers/embedded.ts';
import { Redlock, startRedis } from './redis.ts';
import { machine } from './sides.ts';

type Way = 'fencepost' | 'notify' | 'redlock';

/** When a turn began and when it was given up, on the clock that all processes share, in milliseconds. */
interface Turn {
  readonly began: number;
  readonly ended: number;
}

const now = (): number => Number(hrtime.bigint()) / 1e6;

/** One process: takes its turns. */
async function take(way: Way, url: string, turns: number, first: boolean): Promise<Turn[]> {
  const taken: Turn[] = [];
  const hold = async (release: () => Promise<unknown>): Promise<void> => {
    const began = now();
    // Long enough for the other one to wait.
    await delay(20);
    taken.push({ began, ended: now() });
    await release();
  };
  if (way === 'fencepost') {
    await using fencepost = new Fencepost({ connection: url });
    for (let turn = 0; turn < turns; turn += 1) {
      const lease = await fencepost.leases.acquire('turn');
      await hold(() => lease.release());
      await delay(2);
    }
  } else if (way === 'redlock') {
    const client = new Redis(url);
    const redlock = new Redlock([client]);
    for (let turn = 0; turn < turns; ) {
      // It gives up after ten retries, two seconds.
      const lock = await redlock.acquire(['turn'], 30_000).catch(() => undefined);
      if (lock === undefined) continue;
      await hold(() => lock.release());
      await delay(2);
      turn += 1;
    }
    client.disconnect();
  } else {
    const client = new pg.Client(url);
    await client.connect();
    const [mine, theirs] = first ? ['one', 'other'] : ['other', 'one'];
    let heard = Promise.withResolvers<void>();
    client.on('notification', () => heard.resolve());
    await client.query(`listen ${mine}`);
    process.send?.('listening');
    if (first) await once(process, 'message');
    for (let turn = 0; turn < turns; turn += 1) {
      if (!first || turn > 0) {
        await heard.promise;
        heard = Promise.withResolvers();
        await client.query('select 1');
      }
      await hold(() => client.query(`notify ${theirs}`));
    }
    await client.end();
  }
  return taken;
}

async function handOvers(way: Way, url: string, turns: number): Promise<number[]> {
  const file = fileURLToPath(import.meta.url);
  const children = [true, false].map((first) =>
    fork(file, { env: { ...process.env, BENCH_TURNS: JSON.stringify([way, url, turns, first]) } }),
  );
  const all = children.map(async (child): Promise<Turn[]> => {
    for (;;) {
      const [message] = await once(child, 'message');
      if (message === 'listening') ready(children);
      else return message as Turn[];
    }
  });
  const taken = (await Promise.all(all)).flatMap((mine, who) => mine.map((turn) => ({ ...turn, who })));
  taken.sort((a, b) => a.began - b.began);
  return taken
    .flatMap(({ began, who }, place) => {
      const before = taken[place - 1];
      return before === undefined || before.who === who ? [] : [began - before.ended];
    })
    .sort((a, b) => a - b);
}

let listening = 0;
function ready([first]: ChildProcess[]): void {
  listening += 1;
  if (listening === 2) first?.send('go');
}

if (process.env.BENCH_TURNS !== undefined) {
  const given = JSON.parse(process.env.BENCH_TURNS) as [Way, string, number, boolean];
  const taken = await take(...given);
  process.send?.(taken, () => process.exit(0));
} else {
  const { values } = parseArgs({ options: { turns: { type: 'string', default: '200' } } });
  await using redis = await startRedis();
  await using postgres = await startEmbedded({ fsync: true });
  await migrate({ connection: postgres.url });
  const { host, port } = redis.client.options;
  const table: Record<string, Record<string, string>> = {};
  for (const [way, url] of [
    ['notify', postgres.url],
    ['fencepost', postgres.url],
    ['redlock', `redis://${host}:${port}`],
  ] as const) {
    const times = await handOvers(way, url, Number(values.turns));
    const at = (share: number): string => (times[Math.floor(times.length * share)] ?? Number.NaN).toFixed(2);
    table[way] = { 'p50, ms': at(0.5), 'p99, ms': at(0.99), 'hand-overs': String(times.length) };
  }
  console.table(table);
  console.log(`${postgres.description}; Redis ${redis.version}, no persistence; ${machine}`);
}
