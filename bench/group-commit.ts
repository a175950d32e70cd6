/**
 * Acquire and release pairs a second of distinct leases, in one process: through Fencepost, whose concurrent calls
 * travel together on two connections, against the same two statements sent one by one over a pool of 16 connections.
 * Rounds alternate A B A B; the median of each side is compared. Durable: fsync is on.
 *
 *   node bench/group-commit.ts [--callers 256] [--seconds 3] [--rounds 5]
 */
import { randomUUID } from 'node:crypto';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { Fencepost } from '../src/index.ts';
import { migrate } from '../src/migrate.ts';
import { startEmbedded } from '../test/servers/embedded.ts';

const { values } = parseArgs({
  options: {
    callers: { type: 'string', default: '256' },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
  },
});
const callers = Number(values.callers);
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);

/** Runs `pair` in as many loops as there are callers, each on a name of its own; pairs a second. */
async function measure(pair: (name: string) => Promise<void>): Promise<number> {
  const end = performance.now() + seconds * 1_000;
  let pairs = 0;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      while (performance.now() < end) {
        await pair(`caller-${caller}`);
        pairs += 1;
      }
    }),
  );
  return pairs / ((performance.now() - started) / 1_000);
}

const median = (figures: number[]): number =>
  figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)] ?? 0;

await using server = await startEmbedded({ fsync: true });
await migrate({ connection: server.url });
await using fencepost = new Fencepost({ connection: server.url });
const pool = new pg.Pool({ connectionString: server.url, max: 16 });
const holder = await pool.query("select fencepost.holder_open('1 hour', 'bench') as id");
const id: string = holder.rows[0].id;

const ours = async (name: string): Promise<void> => {
  const lease = await fencepost.leases.acquire(name);
  await lease.release();
};
const oneByOne = async (name: string): Promise<void> => {
  const key = `bare-${name}`;
  const acquired = await pool.query({
    name: 'acquire',
    text: 'select * from fencepost.lease_acquire($1, 0, null, $2, $3, $4)',
    values: [id, [''], [key], [randomUUID()]],
  });
  await pool.query({
    name: 'release',
    text: 'select fencepost.lease_release($1, $2, $3, $4, $5)',
    values: [id, [''], [key], [0], acquired.rows[0].tokens],
  });
};

const sides = [
  { side: 'fencepost, 2 connections', pair: ours, figures: [] as number[] },
  { side: 'one statement each, 16 connections', pair: oneByOne, figures: [] as number[] },
];
for (const { pair } of sides) await measure(pair);
for (let round = 1; round <= rounds; round += 1) {
  for (const { side, pair, figures } of sides) {
    const figure = await measure(pair);
    figures.push(figure);
    console.log(`round ${round}  ${side.padEnd(36)} ${Math.round(figure).toLocaleString('en')} pairs/s`);
  }
}
const [a = 0, b = 1] = sides.map(({ figures }) => median(figures));
console.log(
  `\n${callers} callers, median of ${rounds}: ${Math.round(a)} against ${Math.round(b)} pairs/s: ${(a / b).toFixed(1)} times`,
);
console.log(`${server.description}; Node ${process.version}; ${cpus().length} x ${cpus()[0]?.model}`);
await pool.end();
