/**
 * What events cost: acquire and release of distinct session locks and of distinct leases in one process, while nobody
 * listens and while somebody listens to every channel. With `--against`, a folder with another checkout, also the code
 * there, for instance from before events. Rounds alternate, medians are compared.
 *
 *   npm run bench:events -- [--callers 1,256] [--seconds 2] [--rounds 5] [--against ../fencepost-before]
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { type Listeners, listen } from '../src/events.ts';
import { Fencepost } from '../src/index.ts';
import { migrate } from '../src/migrate.ts';
import { startEmbedded } from '../test/servers/embedded.ts';
import { machine, type Side } from './sides.ts';
import { printTable } from './table.ts';

const { values } = parseArgs({
  options: {
    callers: { type: 'string', default: '1,256' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    against: { type: 'string' },
  },
});

let told = 0;
const count = (): void => {
  told += 1;
};
const everything: Listeners = {
  ...Object.fromEntries(
    ['acquire', 'wait', 'renew', 'release', 'guard', 'claim', 'settle', 'batch'].map((name) => [
      name,
      { start: count, asyncEnd: count, error: count },
    ]),
  ),
  grant: count,
  loss: count,
  session: count,
};

await using postgres = await startEmbedded({ fsync: false });
await migrate({ connection: postgres.url });
await using fencepost = new Fencepost({ connection: postgres.url });
const other = values.against && pathToFileURL(resolve(values.against, 'src/index.ts')).href;
await using before = other && new (await import(other)).Fencepost({ connection: postgres.url });

type Kind = (locks: Fencepost, caller: number) => Promise<{ release(): Promise<void> }>;
const kinds: Record<string, Kind> = {
  'session locks': (locks, caller) => locks.advisory.acquire(`caller-${caller}`),
  leases: (locks, caller) => locks.leases.acquire(`caller-${caller}`),
};

const measure = async (title: string, sidesFor: (pairs: (locks: Fencepost) => Side['pair']) => Side[]) => {
  for (const [kind, acquire] of Object.entries(kinds)) {
    const sides = sidesFor((locks) => async (caller) => {
      await (await acquire(locks, caller)).release();
    });
    await printTable(`${kind}, ${title}`, values.callers, () => sides, {
      seconds: Number(values.seconds),
      rounds: Number(values.rounds),
    });
  }
};

// Once somebody has listened, Node's channels are not what they were: so what that leaves is measured by itself.
await measure('nobody has ever listened', (pairs) => [
  { name: 'this code', pair: pairs(fencepost) },
  ...(before ? [{ name: 'the other code', pair: pairs(before) }] : []),
]);
await measure('somebody listens now and then', (pairs) => [
  { name: 'nobody listens', pair: pairs(fencepost) },
  { name: 'somebody listens to all', pair: pairs(fencepost), around: () => listen(everything) },
]);
console.log(`${told} events were told`);
console.log(`${postgres.description}, fsync off; ${machine}`);
