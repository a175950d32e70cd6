import pg from 'pg';
import type { LockPeer } from './peer.ts';

/**
 * No lock, but the least that a waiter on Postgres costs: whoever gives up notifies the next one by number, and whoever
 * hears it sends one statement. The places in the queue come from a sequence.
 */
export const notify: LockPeer = {
  name: 'notify',
  settings:
    'a place from a sequence, NOTIFY with the number of the next one, and one statement of who hears it',
  server: 'postgres',
  async open({ postgres }) {
    const listening = new pg.Client(postgres);
    await listening.connect();
    const working = new pg.Pool({ connectionString: postgres, max: 4 });
    // One after the other: it fails when two create it at once.
    await working.query(`begin; select pg_advisory_xact_lock(77);
      create table if not exists bench_place (key text primary key, last int, turn int); commit`);
    const waiting = new Map<string, () => void>();
    listening.on('notification', ({ payload = '' }) => {
      waiting.get(payload)?.();
      waiting.delete(payload);
    });
    await listening.query('listen bench');
    const acquire = async (key: string) => {
      const { rows } = await working.query({
        name: 'place',
        text: `insert into bench_place values ($1, 1, 1)
          on conflict (key) do update set last = bench_place.last + 1 returning last, turn`,
        values: [key],
      });
      const { last, turn } = rows[0];
      if (last !== turn) {
        const mine = `${key}/${last}`;
        const heard = new Promise<void>((resolve) => waiting.set(mine, resolve));
        const look = { name: 'look', text: 'select turn from bench_place where key = $1', values: [key] };
        // It may have been told of before it was ready to hear.
        if ((await working.query(look)).rows[0].turn < last) {
          await heard;
          await working.query(look);
        }
      }
      return {
        release: () =>
          working.query({
            name: 'next',
            text: `with next as (update bench_place set turn = turn + 1 where key = $1 returning turn)
              select pg_notify('bench', $1 || '/' || turn) from next`,
            values: [key],
          }),
      };
    };
    return {
      acquire,
      hold: acquire,
      async [Symbol.asyncDispose]() {
        await Promise.all([listening.end(), working.end()]);
      },
    };
  },
};
