import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { acquireLeases, type Held, plainAsk, readAnswers, releaseLeases } from '../../dist/sql/lease.js';
import { tryLocks, unlock } from '../../dist/sql/session-lock.js';
import type { Statement } from '../../dist/sql/statement.js';
import type { Places } from '../runner/servers.ts';
import { pairs, type Send } from './bare-callers.ts';
import type { LockPeer } from './peer.ts';

/** `pg` alone: a connection of a pool for each lock. */
export const barePool: LockPeer = {
  name: 'bare pg, pool of 16',
  settings: 'pg_advisory_lock and pg_advisory_unlock as prepared statements on a pg.Pool of 16',
  server: 'postgres',
  async open({ postgres }) {
    const pool = new pg.Pool({ connectionString: postgres, max: 16 });
    const acquire = async (key: string) => {
      const client = await pool.connect();
      await client.query({
        name: 'lock',
        text: 'select pg_advisory_lock(hashtextextended($1, 0))',
        values: [key],
      });
      return {
        async release() {
          await client.query({
            name: 'unlock',
            text: 'select pg_advisory_unlock(hashtextextended($1, 0))',
            values: [key],
          });
          client.release();
        },
      };
    };
    return { acquire, hold: acquire, [Symbol.asyncDispose]: () => pool.end() };
  },
};

/** Bare loops of statements of ours: pairs of acquire and release a second. */
export interface BareLoop extends AsyncDisposable {
  run(callers: number, seconds: number): Promise<number>;
}

/** The statements of session locks. They have one connection, as all of them have to be in one session. */
export async function bareSessionLocks({ postgres }: Places): Promise<BareLoop> {
  const client = await connected(postgres);
  const { rows } = await client.query('select pg_backend_pid() as pid');
  const pid = Number(rows[0].pid);
  const over = (statement: typeof tryLocks): Send => {
    return async (callers) => {
      const sets = callers.map((caller) => ({ hashes: [String(caller)], shared: false }));
      await ask(client, statement(sets, pid));
    };
  };
  return {
    run: (callers, seconds) => timed(() => pairs(numbers(0, callers), seconds, over(tryLocks), over(unlock))),
    [Symbol.asyncDispose]: () => client.end(),
  };
}

/** The statements of leases, on two connections, each with half of the callers when there are enough for two. */
export async function bareLeases({ postgres }: Places): Promise<BareLoop> {
  const first = await connected(postgres);
  const clients = [first, await connected(postgres)];
  const { rows } = await first.query("select fencepost.holder_open('1 day', 'bare') as id");
  const claimant = { id: String(rows[0].id), epoch: 0 };
  const held: (Held | undefined)[] = [];
  const acquire = (client: pg.Client): Send => {
    return async (callers) => {
      const asks = callers.map((caller) => plainAsk({ tenant: '', name: `bare ${caller}` }, randomUUID()));
      const row = await ask(client, acquireLeases('fencepost', claimant, undefined, asks));
      for (const [place, answer] of readAnswers(row, asks).entries())
        held[callers[place] ?? 0] = 'heldFor' in answer ? undefined : answer[0];
    };
  };
  const release = (client: pg.Client): Send => {
    return async (callers) => {
      const mine = callers.flatMap((caller) => held[caller] ?? []);
      await ask(client, releaseLeases('fencepost', claimant.id, mine, false));
    };
  };
  return {
    run(callers, seconds) {
      const lanes = callers < 128 ? [first] : clients;
      const each = callers / lanes.length;
      return timed(() =>
        Promise.all(
          lanes.map((client, lane) =>
            pairs(numbers(lane * each, each), seconds, acquire(client), release(client)),
          ),
        ).then((all) => all.reduce((sum, one) => sum + one, 0)),
      );
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(clients.map((client) => client.end()));
    },
  };
}

async function timed(run: () => Promise<number>): Promise<number> {
  const started = performance.now();
  return (await run()) / ((performance.now() - started) / 1_000);
}

function numbers(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, place) => from + place);
}

export async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client(url);
  await client.connect();
  return client;
}

export async function ask(client: pg.Client, { name, text, values }: Statement) {
  const types = { getTypeParser: () => (value: string) => value };
  const { rows } = await client.query({ name, text, values: [...values], types });
  return rows[0];
}
