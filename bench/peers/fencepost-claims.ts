import { type Generated, Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { Fencepost } from '../fencepost.ts';
import type { Places } from '../runner/servers.ts';
import { few, type JobPeer, type JobQueue } from './job-peer.ts';

export interface Tables {
  bench_job: { id: Generated<string>; tenant: string; at: number; payload: Generated<string> };
}

/** A table as users have it, with what claims need: its storage, and the trigger that wakes workers. */
const create = `create table if not exists bench_job (
  id bigint generated always as identity primary key, tenant text not null, at double precision not null,
  payload text not null default repeat('x', 200))`;

function peer(name: string, fair: boolean): JobPeer {
  return {
    name,
    settings: `a table of ours, storage 'sidecar', orderBy id, done: 'delete'${fair ? ', fair: true' : ''}; work({ concurrency: 10_000, batch: 10_000, wake: true }) on a pg.Pool of 10`,
    async queue(places, pool) {
      await pool.query(create);
      await using opened = open(places, fair);
      await opened.jobs.ensure({ wake: true });
      return jobQueue(pool);
    },
    async work(places, handler) {
      const { jobs, [Symbol.asyncDispose]: close } = open(places, fair);
      const options = { concurrency: 10_000, batch: 10_000, wake: true, onError: console.error };
      const workers = jobs.work(options, async ({ row: { at, tenant } }) => handler({ at, tenant }));
      return async () => {
        await workers.stop();
        await close();
      };
    },
  };
}

export const claims = peer('fencepost claims', false);
export const fairClaims = peer('fencepost claims, fair', true);

export function jobQueue(pool: pg.Pool): JobQueue {
  return {
    async fill(count, tenant) {
      await pool.query('insert into bench_job (tenant, at) select $2, 0 from generate_series(1, $1::int)', [
        count,
        tenant,
      ]);
      if (count > few) await pool.query('analyze bench_job');
    },
    add: ({ at, tenant }) => pool.query('insert into bench_job (tenant, at) values ($1, $2)', [tenant, at]),
    left: async () => Number((await pool.query('select count(*) from bench_job')).rows[0].count),
    clear: () => pool.query('truncate bench_job'),
    async [Symbol.asyncDispose]() {},
  };
}

export function open({ postgres }: Places, fair: boolean, ttl = 30_000) {
  const pool = new pg.Pool({ connectionString: postgres, max: 10 });
  pool.on('error', () => {});
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  const fencepost = new Fencepost({ connection: postgres });
  const jobs = fencepost.claims.define({
    db,
    table: 'bench_job',
    key: 'id',
    tenant: 'tenant',
    orderBy: ['id'],
    done: 'delete',
    ttl,
    fair,
    storage: 'sidecar',
  });
  return {
    db,
    jobs,
    async [Symbol.asyncDispose]() {
      await fencepost.close();
      await db.destroy();
    },
  };
}
