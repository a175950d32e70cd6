import { setTimeout as delay } from 'node:timers/promises';
import { fairClaims } from '../peers/fencepost-claims.ts';
import { few } from '../peers/job-peer.ts';
import { jobPeer } from '../peers/jobs.ts';
import type { Figures, SideRow } from '../reporting/report.ts';
import { share } from '../reporting/statistics.ts';
import type { Work } from '../runner/bench.ts';
import { claimsWorker, drained, fillUp, now, throughput, working } from './claiming.ts';
import type { Done } from './claims-worker.ts';

const peers = ['fencepost claims', 'graphile-worker, localQueue', 'pg-boss'].map(jobPeer);
const longest = 5_000;

/** What a backlog, a tenant that floods the table and an old transaction do to claims. */
export const claimBacklog: Work = {
  name: 'claim-backlog',
  title: 'Backlog, flood, old transaction',
  about: `Jobs a second of one process while so many wait; 1,000 are put in while it waits for them, and count to the last completion. Then one tenant puts in 100,000 jobs (--quick: 10,000) of 1 ms each, and another tenant one: how long until that one starts, ${longest / 1_000} s at most; without fairness it waits for all of the flood. Then jobs a second while a transaction of somebody else is open since before all of them, so that vacuum can remove nothing, after some seconds of that.`,
  async run(bench) {
    const { quick, servers, crew, seconds, log } = bench;
    const workers = crew.workers.slice(0, 1);
    const backlogs = quick ? [1_000, 10_000] : [1_000, 100_000, 1_000_000];
    const rows = peers.map(({ name }) => ({ name, figures: [] as Figures[] }));
    const old = peers.map(({ name }) => ({ name, figures: [] as Figures[] }));
    for (const [index, peer] of peers.entries()) {
      await using queue = await peer.queue(servers, servers.pool);
      await queue.clear();
      for (const backlog of backlogs) {
        log(`${peer.name} ${backlog},`);
        if (backlog <= few) {
          rows[index]?.figures.push(await drained(bench, workers, peer, queue, backlog));
          continue;
        }
        await fillUp(queue, backlog);
        rows[index]?.figures.push([await throughput(bench, workers, peer, queue, seconds * 2)]);
      }
      await queue.clear();
      const enough = quick ? 10_000 : 60_000;
      await fillUp(queue, enough);
      const fresh = await throughput(bench, workers, peer, queue, seconds);
      const client = await servers.pool.connect();
      await client.query('begin isolation level repeatable read; select 1');
      const until = now() + (quick ? 1 : 6) * 1_000;
      let pinned = Number.NaN;
      while (now() < until) {
        await fillUp(queue, enough);
        pinned = await throughput(bench, workers, peer, queue, seconds);
      }
      await client.query('rollback');
      client.release();
      await queue.clear();
      old[index]?.figures.push([fresh], [pinned]);
    }
    const flood: SideRow[] = [];
    for (const peer of [fairClaims, ...peers]) {
      log(`flood ${peer.name},`);
      await using queue = await peer.queue(servers, servers.pool);
      await queue.clear();
      await queue.fill(quick ? 10_000 : 100_000, 'a');
      const waits: number[] = [];
      await using running = await working(bench, workers, peer, 1);
      for (let turn = 0; turn < (quick ? 1 : 3); turn += 1) {
        await delay(quick ? 200 : 500);
        const at = now();
        const tenant = `z${turn}`;
        await queue.add({ at, tenant });
        let wait: number | undefined;
        while (wait === undefined && now() - at < longest) {
          await delay(20);
          const done = await Promise.all(
            workers.map((worker) => worker.call<Done>(claimsWorker, 'progress')),
          );
          wait = done.flatMap(({ waits: all }) => all[tenant] ?? [])[0];
        }
        waits.push(wait ?? longest);
        if (wait === undefined) break;
      }
      flood.push({
        name: peer.name,
        ...(waits.includes(longest) ? { note: `not within ${longest / 1_000} s` } : {}),
        figures: [[share(0.5, waits)]],
      });
      await running.stop();
      await queue.clear();
    }
    const common = { unit: 'jobs a second', better: 'more' } as const;
    return [
      {
        id: 'backlog',
        title: 'Jobs a second by backlog',
        ...common,
        across: 'backlog',
        points: backlogs.map((backlog) => backlog.toLocaleString('en-US')),
        sides: rows,
      },
      {
        id: 'old-transaction',
        title: 'With an old transaction',
        ...common,
        across: 'the old transaction',
        points: ['none', 'open'],
        sides: old,
      },
      {
        id: 'flood',
        title: 'Another tenant in a flood',
        unit: 'ms',
        better: 'less',
        across: 'its jobs',
        points: ['1'],
        sides: flood,
      },
    ];
  },
};
