import pg from 'pg';
import { awaitTransactionLocks } from '../../dist/sql/advisory.js';
import { release, savepoint } from '../../dist/sql/savepoint.js';
import { Fencepost } from '../fencepost.ts';
import { bareLeases, bareSessionLocks } from '../peers/bare.ts';
import { lockPeers } from '../peers/locks.ts';
import type { LockClient } from '../peers/peer.ts';
import type { Work } from '../runner/bench.ts';
import { interleave, rate, type Side } from '../runner/rounds.ts';

/** Acquire and release, nobody in the way: each caller has a key of its own. */
export const locks: Work = {
  name: 'locks',
  title: 'Acquire and release',
  about:
    'One process; each caller acquires a key of its own and releases it, over and over. The limits are the same statements by bare loops: the calls that come while a statement is under way share the next one (session locks on one connection, leases on two from 128 callers on), and there is nothing else, no keys to check and no states. Transaction locks: begin, lock, commit, on a pool of 16; bare pg in a transaction asks by pg_advisory_xact_lock, prepared: it waits without an end, and a failure spoils the transaction.',
  async run(bench) {
    const { servers, quick } = bench;
    await using stack = new AsyncDisposableStack();
    const sides: Side[] = [];
    for (const peer of lockPeers) {
      const client: LockClient = stack.use(await peer.open(servers));
      sides.push({
        name: peer.name,
        ...('most' in peer && peer.most ? { most: peer.most } : {}),
        measure: (callers, seconds) =>
          rate(callers, seconds, async (caller) => {
            const held = await client.acquire(`caller-${caller}`);
            await held.release();
          }),
      });
    }
    const [sessions, leases] = [
      stack.use(await bareSessionLocks(servers)),
      stack.use(await bareLeases(servers)),
    ];
    const fencepost = stack.use(new Fencepost({ connection: servers.postgres }));
    const pool = new pg.Pool({ connectionString: servers.postgres, max: 16 });
    stack.defer(() => pool.end());
    const inTransaction = (
      lock: (client: pg.PoolClient, caller: number) => Promise<unknown>,
    ): Side['measure'] => {
      return (callers, seconds) =>
        rate(callers, seconds, async (caller) => {
          const client = await pool.connect();
          await client.query('begin');
          await lock(client, caller);
          await client.query('commit');
          client.release();
        });
    };
    const bare = 'select pg_advisory_xact_lock($1)';
    const ours = (caller: number): string =>
      [savepoint, awaitTransactionLocks([String(caller)], 'exclusive', Infinity).text, release].join('; ');
    sides.splice(
      2,
      0,
      {
        name: 'fencepost transaction locks',
        measure: inTransaction((client, caller) => fencepost.transaction(client).acquire(`caller-${caller}`)),
      },
      { name: 'limit of session locks', limit: true, measure: (...how) => sessions.run(...how) },
      { name: 'limit of leases', limit: true, measure: (...how) => leases.run(...how) },
      {
        name: 'limit of transaction locks',
        limit: true,
        measure: inTransaction((client, caller) => client.query(ours(caller))),
      },
      {
        name: 'bare pg, in a transaction',
        measure: inTransaction((client, caller) =>
          client.query({ name: 'xact_lock', text: bare, values: [caller] }),
        ),
      },
    );
    const points = quick ? [1, 256] : [1, 16, 256, 2_000];
    const rows = await interleave(sides, points, bench);
    return [
      {
        id: 'locks',
        title: 'Acquire and release',
        unit: 'pairs a second',
        better: 'more',
        across: 'callers',
        points: points.map(String),
        sides: rows,
      },
    ];
  },
};
