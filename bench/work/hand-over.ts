import { bareHandOver } from '../peers/bare-hand-over.ts';
import type { SideRow, Table } from '../reporting/report.ts';
import { share } from '../reporting/statistics.ts';
import type { Work } from '../runner/bench.ts';
import type { Worker } from '../runner/crew.ts';
import { handOverPeers, type Turn } from './hand-over-worker.ts';

const module = new URL('hand-over-worker.ts', import.meta.url).href;

/** From the release by one to the next holder, while so many wait. */
export const handOver: Work = {
  name: 'hand-over',
  title: 'Hand-over under contention',
  about:
    'One holds a key, so many others wait for it, each as its library waits by default. It is released, each of them gets it, keeps it for 1 ms and releases it: counted is the time from the call of a release to the end of the acquire that follows. For fairness as many go round for a while, acquire, hold for 1 ms and release: the longest time that one waited over the median. In one process, or in four: then the first holder stands alone in its own. The limits are the statements of leases by a bare loop, and less than any lock needs: a notification and one statement of whoever hears it, in the order of their places.',
  async run({ quick, crew, servers, rounds, log }) {
    const seconds = quick ? 0.15 : 1;
    const turns = quick ? 1 : Math.min(2, rounds);
    const crowds = quick ? [2] : [2, 16, 128];
    const tables: Table[] = [];
    for (const processes of [1, 4]) {
      const where = processes === 1 ? 'in one process' : 'in four processes';
      const workers = crew.workers.slice(0, processes) as unknown as readonly [Worker, ...Worker[]];
      const rows = { p50: rowsFor(crowds), p99: rowsFor(crowds), fairness: rowsFor(crowds) };
      for (const [place, crowd] of crowds.entries()) {
        log(`${crowd} ${where}`);
        for (let round = 0; round < turns; round += 1) {
          for (const [index, name] of handOverPeers.entries()) {
            const times: number[] = [];
            await Promise.all(workers.map((worker) => worker.call(module, 'open', name, places(servers))));
            const until = performance.now() + seconds * 1_000;
            do times.push(...(await drain(workers, crowd)));
            while (performance.now() < until);
            const waits = (await everywhere<number[]>(workers, crowd, 'goRound', seconds)).flat();
            await Promise.all(workers.map((worker) => worker.call(module, 'close')));
            const put = (row: Row[], figure: number) => row[index]?.figures[place]?.push(figure);
            put(rows.p50, share(0.5, times));
            put(rows.p99, share(0.99, times));
            put(rows.fairness, share(1, waits) / share(0.5, waits));
          }
        }
      }
      const table = (id: string, title: string, unit: string, sides: SideRow[]): Table => ({
        id: `hand-over-${id}-${processes}`,
        title: `${title}, ${where}`,
        unit,
        better: 'less',
        across: 'waiters',
        points: crowds.map(String),
        sides,
      });
      tables.push(
        table('p50', 'Hand-over, median', 'ms', rows.p50),
        table('p99', 'Hand-over, 99th percentile', 'ms', rows.p99),
        table(
          'fairness',
          'Longest wait over the median',
          'times',
          rows.fairness.filter(({ limit }) => !limit),
        ),
      );
    }
    return tables;
  },
};

interface Row extends SideRow {
  readonly figures: number[][];
}

function rowsFor(crowds: readonly number[]): Row[] {
  return handOverPeers.map((name) => ({
    name,
    ...(name === 'notify' || name === bareHandOver.name ? { limit: true } : {}),
    figures: crowds.map(() => []),
  }));
}

/** All of the crowd wait, then the key goes through all their hands. */
async function drain(workers: readonly [Worker, ...Worker[]], crowd: number): Promise<number[]> {
  const [first] = workers;
  const key = `key ${performance.now()}`;
  await first.call(module, 'take', key);
  const turns = everywhere<Turn[]>(workers, crowd, 'waitFor', key);
  turns.catch(() => {});
  // Nobody tells that it waits: a while in which all of them have asked.
  await first.call(module, 'pause', 50 + crowd);
  const ended = await first.call<number>(module, 'giveUp');
  const taken = (await turns).flat().toSorted((a, b) => a.began - b.began);
  return taken.map(({ began }, place) => began - (taken[place - 1]?.ended ?? ended));
}

/** The crowd stands in one process, or in all but the first. */
function everywhere<Answer>(
  workers: readonly Worker[],
  crowd: number,
  name: string,
  ...values: unknown[]
): Promise<Answer[]> {
  const places = workers.length === 1 ? workers : workers.slice(1);
  const each = places.map((_, index) => Math.floor((crowd + index) / places.length));
  return Promise.all(
    places.map((worker, index) => worker.call<Answer>(module, name, each[index], ...values)),
  );
}

function places({ postgres, redis, redisAlways }: { postgres: string; redis: string; redisAlways: string }) {
  return { postgres, redis, redisAlways };
}
