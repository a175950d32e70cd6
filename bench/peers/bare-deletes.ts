import pg from 'pg';
import { claims, jobQueue } from './fencepost-claims.ts';
import type { JobPeer } from './job-peer.ts';

const batch = 1_000;

/** Rows are deleted and nothing else, with no claim of theirs: no queue with durable rows can pass this. */
export const bareDeletes: JobPeer = {
  name: 'limit of any',
  limit: true,
  settings: `rows only deleted, ${batch} in a statement, by two bare loops on two connections: nobody is shut out and nothing is kept for a worker that dies`,
  async queue(places, pool) {
    await using _made = await claims.queue(places, pool);
    return jobQueue(pool);
  },
  async work(places, handler) {
    const clients = [new pg.Client(places.postgres), new pg.Client(places.postgres)];
    await Promise.all(clients.map((client) => client.connect()));
    let stopped = false;
    const text = `with found as materialized (
        select id from bench_job order by id limit ${batch} for update skip locked
      )
      delete from bench_job where id = any (array(select id from found)) returning *`;
    const loops = clients.map(async (client) => {
      while (!stopped) {
        for (const { at, tenant } of (await client.query({ name: 'delete', text })).rows) {
          await handler({ at, tenant });
        }
      }
      await client.end();
    });
    return () => {
      stopped = true;
      return Promise.all(loops);
    };
  },
};
