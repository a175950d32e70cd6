import { PgBoss } from 'pg-boss';
import { few, type Job, type JobPeer } from './job-peer.ts';

const queue = 'bench';

/** Batches, and its worker without pauses as long as they come full. */
export const pgBoss: JobPeer = {
  name: 'pg-boss',
  settings:
    'pg-boss 12.38.0, useListenNotify and a queue with notify; two workers that fetch and complete 2,000 jobs at a time (batchSize 2,000, localConcurrency 2, burstWhenBatchFull), pool of 10',
  async queue({ postgres }, pool) {
    const boss = new PgBoss({ connectionString: postgres, max: 4, supervise: false, schedule: false });
    boss.on('error', console.error);
    await boss.start();
    await boss.createQueue(queue, { notify: true });
    return {
      async fill(count, tenant) {
        const data = { at: 0, tenant, x: 'x'.repeat(200) };
        for (let left = count; left > 0; left -= 10_000) {
          await boss.insert(
            queue,
            Array.from({ length: Math.min(left, 10_000) }, () => ({ data })),
          );
        }
        if (count > few) await pool.query('analyze pgboss.job');
      },
      add: (job) => boss.send(queue, { ...job, x: 'x'.repeat(200) }),
      left: async () =>
        Number(
          (
            await pool.query("select count(*) from pgboss.job where state < 'completed' and name = $1", [
              queue,
            ])
          ).rows[0].count,
        ),
      // Of all queues: that truncates. Of one it deletes, and what is dead then slows the next round.
      clear: () => boss.deleteAllJobs(),
      [Symbol.asyncDispose]: () => boss.stop({ graceful: false }),
    };
  },
  async work({ postgres }, handler) {
    const boss = new PgBoss({
      connectionString: postgres,
      max: 10,
      supervise: false,
      schedule: false,
      useListenNotify: true,
    });
    boss.on('error', console.error);
    await boss.start();
    const options = {
      batchSize: 2_000,
      localConcurrency: 2,
      pollingIntervalSeconds: 0.5,
      burstWhenBatchFull: true,
    };
    await boss.work<Job>(queue, options, async (jobs) => {
      await Promise.all(jobs.map(({ data }) => handler(data)));
    });
    return () => boss.stop({ graceful: true, timeout: 5_000 });
  },
};
