import { Fencepost } from 'fencepost';
import { expect, test } from 'vitest';
import { connect } from '../support/clients.ts';
import { plant } from '../support/plant.ts';
import { startOwnServer } from '../support/postmaster.ts';
import { until } from '../support/until.ts';

const lazyWal = ['-c', 'wal_writer_delay=10s', '-c', 'wal_writer_flush_after=1GB', '-c', 'autovacuum=off'];

test('a token for a session lock that was handed out is not drawn again after a crash', async () => {
  await using server = await startOwnServer({ postgresFlags: lazyWal });

  /** The last token before a crash, and the first one after it. */
  async function acrossCrash(): Promise<[bigint, bigint]> {
    await using fencepost = new Fencepost({ connection: server.url });
    await (await fencepost.advisory.acquire('fenced', { fence: true })).release();
    await server.query('checkpoint');
    await using clients = await connect(server, 1);
    // What the sequence writes ahead for 32 values stands in a transaction that never commits.
    await clients[0].query('begin');
    await clients[0].query(`select nextval('fencepost.token')`);
    const before = await fencepost.advisory.acquire('fenced', { fence: true });
    await server.crash();
    const after = await until('the server', () =>
      fencepost.advisory.acquire('fenced', { fence: true, wait: '5s' }).catch(() => null),
    );
    return [before.token, after.token];
  }

  for (let round = 0; round < 3; round += 1) {
    const [before, after] = await acrossCrash();
    expect(after).toBeGreaterThan(before);
  }
  // An id alone does not make the commit wait: with nothing written it is asynchronous, whatever the setting.
  await plant(server.query, 'fence_token', [
    `pg_logical_emit_message(true, 'fencepost', 'token')`,
    'pg_current_xact_id()',
  ]);
  const [before, after] = await acrossCrash();
  expect(after).toBeLessThanOrEqual(before);
});
