import { setTimeout as delay } from 'node:timers/promises';
import { jobPeers } from '../peers/jobs.ts';
import { share } from '../reporting/statistics.ts';
import type { Work } from '../runner/bench.ts';
import { now, working } from './claiming.ts';

/** From the insert to the start of the handler, while nobody is busy. */
export const claimLatency: Work = {
  name: 'claim-latency',
  title: 'From insert to start',
  about:
    'One process waits for jobs and has none. Another one puts one in every 20 ms, in the way of each library: counted from before that call to the start of the handler.',
  async run(bench) {
    const { quick, servers, crew, rounds, seconds, log } = bench;
    const peers = jobPeers.filter(({ name }) => !name.startsWith('limit'));
    const [middle, slow] = [peers.map((): number[] => []), peers.map((): number[] => [])];
    for (let round = 0; round < (quick ? 1 : Math.min(3, rounds)); round += 1) {
      log(String(round + 1));
      for (const [index, peer] of peers.entries()) {
        await using queue = await peer.queue(servers, servers.pool);
        await queue.clear();
        const running = await working(bench, crew.workers.slice(0, 1), peer);
        // It listens, and its first look is over.
        await delay(300);
        const until = now() + Math.max(0.5, seconds * 2) * 1_000;
        while (now() < until) {
          await queue.add({ at: now(), tenant: 'a' });
          await delay(20);
        }
        await delay(200);
        const waits = (await running.stop()).flatMap(({ waits }) => waits.a ?? []);
        middle[index]?.push(share(0.5, waits));
        slow[index]?.push(share(0.99, waits));
      }
    }
    const table = (id: string, title: string, figures: number[][]) => ({
      id,
      title,
      unit: 'ms',
      better: 'less' as const,
      across: 'processes',
      points: ['1'],
      sides: peers.map(({ name }, index) => ({ name, figures: [figures[index] ?? []] })),
    });
    return [
      table('claim-latency-p50', 'From insert to start, median', middle),
      table('claim-latency-p99', 'From insert to start, 99th percentile', slow),
    ];
  },
};
