import pg from 'pg';
import { definitionOf } from '../../dist/claim/definition.js';
import { Preparing } from '../../dist/claim/preparing.js';
import { UserDatabase } from '../../dist/claim/user-database.js';
import { Walk } from '../../dist/claim/walk.js';
import { systemClock } from '../../dist/core/clock.js';
import { claimRows } from '../../dist/sql/claim-sidecar.js';
import { completeRows } from '../../dist/sql/claim-sidecar-settle.js';
import { readClaimed } from '../../dist/sql/claimed-rows.js';
import type { Statement } from '../../dist/sql/statement.js';
import { claims, jobQueue, open } from './fencepost-claims.ts';
import type { JobPeer } from './job-peer.ts';

const batch = 10_000;

/** The statements of claims and completions in bare loops, on two connections: what claims of ours can reach at most. */
export const bareClaims: JobPeer = {
  name: 'limit of claims',
  limit: true,
  settings: `the statements of fencepost claims, ${batch} rows in each, in two bare loops on two connections`,
  async queue(places, pool) {
    await using _made = await claims.queue(places, pool);
    return jobQueue(pool);
  },
  async work(places, handler) {
    await using opened = open(places, false);
    const { db } = opened;
    const options = {
      db,
      table: 'bench_job',
      key: 'id',
      tenant: 'tenant',
      orderBy: ['id'],
      done: 'delete',
      storage: 'sidecar',
    };
    const { shape } = definitionOf('fencepost', options);
    const table = await new Preparing(new UserDatabase(db as never, 'fencepost'), shape).table();
    const clients = [new pg.Client(places.postgres), new pg.Client(places.postgres)];
    await Promise.all(clients.map((client) => client.connect()));
    // As workers of ours, they begin behind their last claim.
    const walk = new Walk(systemClock);
    let stopped = false;
    const loops = clients.map(async (client) => {
      // Without their names, as ours are sent: a plan that is kept for any number of rows is twice as slow here.
      const ask = ({ text, values }: Statement) => client.query({ text, values: [...values] });
      const { rows } = await client.query("select fencepost.holder_open('1 day', 'bare') as id");
      const claimant = { id: String(rows[0].id), epoch: 0 };
      let fresh = true;
      while (!stopped) {
        const from = walk.next(undefined);
        const began = systemClock.now();
        const { rows } = await ask(claimRows(table, claimant, { limit: batch, fresh, from }));
        const { rows: read, ended } = readClaimed(rows);
        walk.ended(undefined, from, began, ended);
        const claimed = read.filter(({ state }) => state === 'claimed');
        // What another work has left behind is claimed first.
        fresh = read.every(({ state }) => state !== 'others');
        for (const { row } of claimed) await handler(row as never);
        if (claimed.length === 0) continue;
        await ask(completeRows(table, claimed));
      }
      await client.query('select fencepost.holder_close($1)', [claimant.id]).catch(() => {});
      await client.end();
    });
    return () => {
      stopped = true;
      return Promise.all(loops);
    };
  },
};
