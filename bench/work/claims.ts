import type { JobQueue } from '../peers/job-peer.ts';
import { jobPeers } from '../peers/jobs.ts';
import type { Figures } from '../reporting/report.ts';
import type { Work } from '../runner/bench.ts';
import { fillUp, throughput } from './claiming.ts';

/** Claim and complete, as fast as it goes. */
export const claims: Work = {
  name: 'claims',
  title: 'Claim and complete',
  about:
    'Jobs with 200 bytes of payload whose handler does nothing wait in the table, more than are done. In one process and in four, jobs from the first to the last one that begins. Ours deletes completed rows as graphile-worker does; pg-boss keeps them. Limits are bare loops: of the statements of ours, and of one that only deletes rows, which no queue with durable rows can pass.',
  async run(bench) {
    const { quick, servers, crew, rounds, seconds, log } = bench;
    await using stack = new AsyncDisposableStack();
    const queues: JobQueue[] = [];
    for (const peer of jobPeers) queues.push(stack.use(await peer.queue(servers, servers.pool)));
    // More than the fastest gets done: what is left of it is not counted, but an empty table would be.
    const backlog = quick ? 10_000 : 100_000 * Math.ceil(seconds * 3 - 0.5);
    const points = [1, 4];
    const sides = jobPeers.map(({ name, limit }) => ({
      name,
      ...(limit ? { limit } : {}),
      figures: [] as Figures[],
    }));
    for (const processes of points) {
      log(`${processes} processes`);
      const figures = jobPeers.map((): number[] => []);
      const turns = quick ? 1 : Math.min(3, rounds);
      for (let round = 0; round <= turns; round += 1) {
        for (const [index, peer] of jobPeers.entries()) {
          const queue = queues[index] as JobQueue;
          await fillUp(queue, round === 0 ? backlog / 10 : backlog);
          const workers = crew.workers.slice(0, processes);
          const figure = await throughput(bench, workers, peer, queue, round === 0 ? 0.3 : seconds * 3);
          if (round > 0) figures[index]?.push(figure);
          await queue.clear();
        }
      }
      for (const [index, side] of sides.entries()) side.figures.push(figures[index] ?? []);
    }
    return [
      {
        id: 'claims',
        title: 'Claim and complete',
        unit: 'jobs a second',
        better: 'more',
        across: 'processes',
        points: points.map(String),
        sides,
      },
    ];
  },
};
