/**
 * What events cost: acquire and release of distinct session locks and of distinct leases in one process, before anybody
 * has listened, and with one who listens to every channel and has listened before. With `--against`, the folder of
 * another checkout that is built, next to the code there. Sides take turns, the median of the rounds counts.
 *
 *   npm run bench:events -- [--callers 256] [--seconds 2] [--rounds 5] [--against ../fencepost-before]
 */
import { cpus } from 'node:os';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type Listeners, listen } from '../dist/events.js';
import { startEmbedded } from '../test/servers/embedded.ts';
import { Fencepost, migrate } from './fencepost.ts';

interface Side {
  readonly name: string;
  readonly locks: Fencepost;
  /** What lasts as long as it is measured. */
  around?(): Disposable;
}

const { values } = parseArgs({
  options: {
    callers: { type: 'string', default: '256' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    against: { type: 'string' },
  },
});
const [callers, seconds, rounds] = [values.callers, values.seconds, values.rounds].map(Number) as [
  number,
  number,
  number,
];

let told = 0;
const count = (): void => {
  told += 1;
};
const span = { start: count, asyncEnd: count, error: count };
const everything: Listeners = {
  ...{ acquire: span, wait: span, renew: span, release: span, guard: span },
  ...{ claim: span, settle: span, batch: span, grant: count, loss: count, session: count },
};

const kinds = {
  'session locks': (locks: Fencepost, caller: number) => locks.advisory.acquire(`caller-${caller}`),
  leases: (locks: Fencepost, caller: number) => locks.leases.acquire(`caller-${caller}`),
};
type Acquire = (typeof kinds)[keyof typeof kinds];

/** Pairs a second, in so many loops at once. */
async function measure({ locks, around }: Side, acquire: Acquire, limit: number): Promise<number> {
  using _ = around?.();
  const started = performance.now();
  const end = started + limit * 1_000;
  let pairs = 0;
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (; performance.now() < end; pairs += 1) await (await acquire(locks, caller)).release();
    }),
  );
  return pairs / ((performance.now() - started) / 1_000);
}

async function compare(title: string, sides: readonly Side[]): Promise<void> {
  console.log(`${title}: pairs a second with ${callers} callers, median of ${rounds} rounds (least to most)`);
  const table: Record<string, Record<string, string>> = {};
  for (const [kind, acquire] of Object.entries(kinds)) {
    const figures = sides.map((): number[] => []);
    for (const side of sides) await measure(side, acquire, seconds / 2);
    for (let round = 0; round < rounds; round += 1)
      for (const [place, side] of sides.entries())
        figures[place]?.push(await measure(side, acquire, seconds));
    for (const [place, { name }] of sides.entries()) {
      const sorted = (figures[place] ?? []).toSorted((a, b) => a - b).map(Math.round);
      const median = sorted[Math.floor(sorted.length / 2)];
      table[name] = { ...table[name], [kind]: `${median} (${sorted[0]} to ${sorted.at(-1)})` };
    }
  }
  console.table(table);
}

await using postgres = await startEmbedded({ fsync: false });
await migrate({ connection: postgres.url });
await using locks = new Fencepost({ connection: postgres.url });
const folder = values.against && pathToFileURL(resolve(values.against, 'dist/index.js')).href;
await using other: Fencepost | undefined =
  folder && new (await import(folder)).Fencepost({ connection: postgres.url });

// Once somebody has listened, Node's channels are not what they were: what that leaves is measured by itself.
await compare('nobody has ever listened', [
  { name: 'this code', locks },
  ...(other ? [{ name: 'the other code', locks: other }] : []),
]);
await compare('somebody listens now and then', [
  { name: 'nobody listens', locks },
  { name: 'somebody listens to all', locks, around: () => listen(everything) },
]);
console.log(`${told} events were told`);
console.log(
  `${postgres.description}, fsync off; Node ${process.version}; ${cpus().length} x ${cpus()[0]?.model}`,
);
