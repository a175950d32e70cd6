import { hrtime } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import type { JobPeer, JobQueue } from '../peers/job-peer.ts';
import type { Bench } from '../runner/bench.ts';
import type { Worker } from '../runner/crew.ts';
import type { Places } from '../runner/servers.ts';
import type { Done } from './claims-worker.ts';

export const claimsWorker = new URL('claims-worker.ts', import.meta.url).href;

/** Milliseconds on the clock that all processes share. */
export const now = (): number => Number(hrtime.bigint()) / 1e6;

export function placesOf({ postgres, redis, redisAlways }: Places): Places {
  return { postgres, redis, redisAlways };
}

/** Processes that work for a peer, until the end of the scope. */
export async function working(
  { servers }: Bench,
  workers: readonly Worker[],
  peer: JobPeer,
  takes = 0,
): Promise<AsyncDisposable & { stop(): Promise<Done[]> }> {
  await Promise.all(
    workers.map((worker) => worker.call(claimsWorker, 'start', peer.name, placesOf(servers), takes)),
  );
  let stopped: Promise<Done[]> | undefined;
  const stop = () =>
    (stopped ??= Promise.all(workers.map((worker) => worker.call<Done>(claimsWorker, 'stop'))));
  return {
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

/** Works on a backlog for so long or until it is done: jobs a second, from the first to the last. */
export async function throughput(
  bench: Bench,
  workers: readonly Worker[],
  peer: JobPeer,
  queue: JobQueue,
  seconds: number,
): Promise<number> {
  const backlog = await queue.left();
  const running = await working(bench, workers, peer);
  const all = (): Promise<Done[]> =>
    Promise.all(workers.map((worker) => worker.call<Done>(claimsWorker, 'progress')));
  const started = performance.now();
  let began: number | undefined;
  for (;;) {
    await delay(50);
    const count = sum(await all());
    if (count > 0) began ??= performance.now();
    if (count >= backlog || performance.now() - (began ?? Infinity) > seconds * 1_000) break;
    if (began === undefined && performance.now() - started > 20_000)
      throw new Error(`${peer.name} does nothing`);
  }
  // Before it is stopped: what is done while it stops is slower.
  const done = (await all()).filter(({ count }) => count > 0);
  const stopped = sum(await running.stop());
  const left = await queue.left();
  // graphile-worker leaves a few that it has begun when it is told to stop.
  if (Math.abs(backlog - stopped - left) > 100)
    throw new Error(`${peer.name} did ${stopped} of ${backlog} jobs, and ${left} are left`);
  const [first, last] = [Math.min(...done.map((one) => one.first)), Math.max(...done.map((one) => one.last))];
  return sum(done) / (Math.max(1, last - first) / 1_000);
}

/** From putting so many in, while somebody waits for them, to the last completion: jobs a second. */
export async function drained(
  bench: Bench,
  workers: readonly Worker[],
  peer: JobPeer,
  queue: JobQueue,
  count: number,
): Promise<number[]> {
  await using _running = await working(bench, workers, peer);
  await delay(300);
  const rates: number[] = [];
  for (let round = 0; round <= bench.rounds; round += 1) {
    const began = performance.now();
    await queue.fill(count, 'a');
    while ((await queue.left()) > 0) await delay(1);
    if (round > 0) rates.push(count / ((performance.now() - began) / 1_000));
  }
  return rates;
}

/** Puts in what is missing to so many. */
export async function fillUp(queue: JobQueue, count: number): Promise<void> {
  const left = await queue.left();
  if (left < count) await queue.fill(count - left, 'a');
}

function sum(done: readonly Done[]): number {
  return done.reduce((all, { count }) => all + count, 0);
}
