import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { acquireLeases, type Held, plainAsk, readAnswers, releaseLeases } from '../../dist/sql/lease.js';
import { ask, connected } from './bare.ts';
import type { LockPeer } from './peer.ts';

/**
 * The statements of leases and nothing else: whoever is first in the line of its process asks, waits for the
 * notification of a release and asks again. What hands over leases of ours can reach at most.
 */
export const bareHandOver: LockPeer = {
  name: 'limit of leases',
  settings:
    'the statements of fencepost leases by a bare loop: two connections that ask, one that listens, and a line in each process',
  server: 'postgres',
  async open({ postgres }) {
    const [asking, releasing, listening] = await Promise.all([
      connected(postgres),
      connected(postgres),
      connected(postgres),
    ]);
    const { rows } = await asking.query(
      "select fencepost.holder_open('1 day', 'bare') as id, fencepost.channel() as channel",
    );
    const claimant = { id: String(rows[0].id), epoch: 0 };
    await listening.query(`listen ${pg.escapeIdentifier(rows[0].channel)}`);
    let ring = Promise.withResolvers<void>();
    listening.on('notification', () => {
      ring.resolve();
      ring = Promise.withResolvers();
    });
    const lines = new Map<string, Promise<unknown>>();

    const granted = async (name: string): Promise<Held> => {
      const asks = [{ ...plainAsk({ tenant: '', name }, randomUUID()), waits: true }];
      for (;;) {
        const rung = ring.promise;
        const [answer] = readAnswers(
          await ask(asking, acquireLeases('fencepost', claimant, undefined, asks)),
          asks,
        );
        if (answer !== undefined && !('heldFor' in answer)) return answer[0];
        // Without a time it is being changed right now.
        await (answer?.heldFor === undefined ? delay(1) : rung);
      }
    };
    const acquire = async (key: string) => {
      const place = Promise.withResolvers<void>();
      const before = lines.get(key);
      lines.set(key, place.promise);
      await before;
      const held = await granted(key).finally(() => place.resolve());
      return {
        async release() {
          const row = await ask(releasing, releaseLeases('fencepost', claimant.id, [held], true));
          if (row.unflushed === 't') await releasing.query('select fencepost.flush()');
        },
      };
    };
    return {
      acquire,
      hold: acquire,
      async [Symbol.asyncDispose]() {
        await asking.query('select fencepost.holder_close($1)', [claimant.id]).catch(() => {});
        await Promise.all([asking, releasing, listening].map((client) => client.end()));
      },
    };
  },
};
