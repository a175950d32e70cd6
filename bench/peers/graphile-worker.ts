import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import type { Places } from '../runner/servers.ts';
import { few, type Job, type JobPeer } from './job-peer.ts';

const silent = new Logger(() => () => {});

function peer(name: string, more: Partial<GraphileConfig.WorkerOptions>, settings: string): JobPeer {
  return {
    name,
    settings,
    async queue({ postgres }, pool) {
      const utils = await makeWorkerUtils({ connectionString: postgres, logger: silent });
      await utils.migrate();
      return {
        async fill(count, tenant) {
          const spec = `row('bench', json_build_object('at', 0, 'tenant', $2::text, 'x', repeat('x', 200)),
            null, null, null, null, null, null)::graphile_worker.job_spec`;
          for (let left = count; left > 0; left -= 50_000) {
            await pool.query(
              `select count(*) from graphile_worker.add_jobs(array(select ${spec} from generate_series(1, $1::int)))`,
              [Math.min(left, 50_000), tenant],
            );
          }
          if (count > few) await pool.query('analyze graphile_worker._private_jobs');
        },
        add: (job) => utils.addJob('bench', { ...job, x: 'x'.repeat(200) }),
        left: async () =>
          Number((await pool.query('select count(*) from graphile_worker._private_jobs')).rows[0].count),
        clear: () => pool.query('truncate graphile_worker._private_jobs'),
        [Symbol.asyncDispose]: async () => utils.release(),
      };
    },
    async work({ postgres }: Places, handler) {
      const runner = await run({
        noHandleSignals: true,
        logger: silent,
        taskList: {
          async bench(payload) {
            await handler(payload as Job);
          },
        },
        preset: { worker: { connectionString: postgres, concurrentJobs: 24, maxPoolSize: 25, ...more } },
      });
      return () => runner.stop();
    },
  };
}

export const graphile = peer(
  'graphile-worker',
  {},
  'graphile-worker 0.18.0, concurrentJobs 24, maxPoolSize 25, else its defaults',
);
/** As its page on performance has it. */
export const graphileLocalQueue = peer(
  'graphile-worker, localQueue',
  { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
  'the same as its page on performance sets it: localQueue.size 500, completeJobBatchDelay 0, failJobBatchDelay 0',
);
