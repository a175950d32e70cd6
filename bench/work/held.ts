import { setTimeout as delay } from 'node:timers/promises';
import { leases } from '../peers/fencepost.ts';
import { claims } from '../peers/fencepost-claims.ts';
import { redisSemaphore, redisSemaphoreAlways } from '../peers/redis-semaphore.ts';
import { redlock } from '../peers/redlock.ts';
import { verrou } from '../peers/verrou.ts';
import type { Figures, SideRow, Table } from '../reporting/report.ts';
import type { Work } from '../runner/bench.ts';
import { Worker } from '../runner/crew.ts';
import { postgresUsage, redisUsage, type Usage } from '../runner/usage.ts';
import { within } from '../runner/within.ts';

const holding = new URL('holding.ts', import.meta.url).href;
const claiming = new URL('claims-worker.ts', import.meta.url).href;
const peers = [leases, verrou, redlock, redisSemaphore, redisSemaphoreAlways];
const claimed = '10,000 claims';

/** Milliseconds in which so many are held, or they are not. */
const longest = 60_000;

interface Cost {
  readonly statements: number;
  readonly client: number;
  readonly server: number;
  readonly log: number;
}

/** What it costs to hold. */
export const held: Work = {
  name: 'held',
  title: 'Held leases',
  about:
    'One process holds so many keys with a ttl of 10 seconds (--quick: 2), renewed as each library renews, and does nothing else. Counted for one ttl: statements (transactions of Postgres, commands of Redis), processor time of the client and of the server, bytes of WAL or of the append-only file. Redis without persistence writes none. What looks at these counters counts as well. Of 10,000 claims in flight each of ours is on the heartbeat of its process; the job queues renew nothing.',
  async run({ servers, quick, log }) {
    const ttl = quick ? 2_000 : 10_000;
    const seconds = ttl / 1_000;
    const counts = quick ? [1_000] : [1, 1_000, 100_000];
    const { postgres, redis, redisAlways } = servers;
    const places = { postgres, redis, redisAlways };
    const rows = peers.map(({ name, holds }) => ({
      name,
      costs: [] as (Cost | undefined)[],
      note: holds?.why ?? '',
    }));

    const observe = async (server: keyof typeof places, worker: Worker, module: string) => {
      const use = (): Promise<Usage> =>
        server === 'postgres' ? postgresUsage(servers.pool) : redisUsage(places[server]);
      // What filling it has left to do is not what holding costs.
      if (server === 'postgres') {
        await servers.pool.query('vacuum (analyze)');
        await servers.pool.query('checkpoint');
      }
      // What a session of Postgres has done is told when it has been idle for a second.
      if (server === 'postgres') await delay(1_100);
      await worker.call(module, 'startCounting');
      const before = await use();
      const started = performance.now();
      await delay(ttl);
      const { processor, lost } = await worker.call<{ processor: number; lost: number }>(module, 'counted');
      const took = (performance.now() - started) / 1_000;
      if (server === 'postgres') await delay(1_100);
      const after = await use();
      const cost = {
        statements: (after.statements - before.statements) / took,
        client: (processor / took) * 100,
        server: ((after.processor - before.processor) / took) * 100,
        log: (after.log - before.log) / took / 1_024,
      };
      return { cost, lost };
    };

    for (const count of counts) {
      for (const [index, peer] of peers.entries()) {
        if (count > (peer.holds?.point ?? Infinity)) {
          rows[index]?.costs.push(undefined);
          continue;
        }
        log(`${count} ${peer.name},`);
        const row = rows[index];
        await using worker = new Worker();
        try {
          await within(
            longest,
            worker.call(holding, 'hold', peer.name, places, count, ttl, `held of ${count}`),
          );
          const { cost, lost } = await within(longest, observe(peer.server, worker, holding));
          row?.costs.push(cost);
          if (row && lost > 0) row.note = `${lost} errors while ${count.toLocaleString('en-US')} were held`;
        } catch (error) {
          row?.costs.push(undefined);
          if (row)
            row.note = `${count.toLocaleString('en-US')} failed: ${(error as Error).message.split('\n')[0]}`;
        }
        // Giving all back would take longer than all the rest. What it holds ends with it, or with the ttl.
        await worker.kill();
      }
    }
    log(claimed);
    await using queue = await claims.queue(servers, servers.pool);
    await queue.clear();
    await queue.fill(10_000, 'a');
    await using worker = new Worker();
    await worker.call(claiming, 'holdClaims', postgres, 10_000, ttl);
    const { cost } = await observe('postgres', worker, claiming);
    await worker.kill();
    await queue.clear();
    for (const [index, row] of rows.entries()) row.costs.push(index === 0 ? cost : undefined);

    const table = (id: string, title: string, unit: string, of: (cost: Cost) => number): Table => ({
      id: `held-${id}`,
      title,
      unit,
      better: 'less',
      across: 'held',
      points: [...counts.map((count) => count.toLocaleString('en-US')), claimed],
      sides: rows.map(
        ({ name, costs, note }): SideRow => ({
          name,
          ...(note === '' ? {} : { note }),
          figures: costs.map((one): Figures => (one === undefined ? [] : [Math.max(0, of(one))])),
        }),
      ),
    });
    const during = `for ${seconds} s`;
    return [
      table('statements', `Statements, ${during}`, 'statements a second', (one) => one.statements),
      table('client', `Processor time of the client, ${during}`, '% of a core', (one) => one.client),
      table('server', `Processor time of the server, ${during}`, '% of a core', (one) => one.server),
      table('log', `WAL or append-only file, ${during}`, 'kB a second', (one) => one.log),
    ];
  },
};
