import { Fencepost } from 'fencepost';
import { expect, test } from 'vitest';
import { connect } from '../support/clients.ts';
import { rounds, tell, within } from '../support/figures.ts';
import { startOwnServer } from '../support/postmaster.ts';
import { until } from '../support/until.ts';

const lazyWal = ['-c', 'wal_writer_delay=10s', '-c', 'wal_writer_flush_after=1GB', '-c', 'autovacuum=off'];

test('in a database that was made from a migrated template no token is drawn again after a crash', {
  ...within(60_000),
  tags: ['F29'],
}, async () => {
  await using server = await startOwnServer({ postgresFlags: lazyWal });
  const other = new URL(server.url);
  other.pathname = '/template1';
  const clone = async (name: string): Promise<string> => {
    await using clients = await connect({ url: other.href }, 1);
    await clients[0].query(`create database ${name} template postgres`);
    const url = new URL(server.url);
    url.pathname = `/${name}`;
    return url.href;
  };
  // A template has drawn some already: its sequence is ahead of itself in a log that the clone does not have.
  {
    await using fencepost = new Fencepost({ connection: server.url });
    for (const name of ['a', 'b', 'c']) await (await fencepost.leases.acquire(name)).release();
  }
  const crashes = rounds(3);
  let tokens = 0;
  for (let round = 0; round < crashes; round += 1) {
    const connection = await clone(`clone_${round}`);
    await using fencepost = new Fencepost({ connection });
    const draw = async (): Promise<[bigint, bigint]> => {
      await using lease = await fencepost.leases.acquire('one', { ttl: '20s', wait: '5s' });
      await using lock = await fencepost.advisory.acquire('one', { fence: true, wait: '5s' });
      return [lease.token, lock.token];
    };
    const before = [await draw(), await draw(), await draw()];
    await server.crash();
    await until('the server', () =>
      server.query('select').then(
        () => true,
        () => false,
      ),
    );
    const after = await until('a grant', () => draw().catch(() => null));
    tokens += 2 * before.length + 2;
    for (const kind of [0, 1] as const) {
      expect(before.every((drawn) => drawn[kind] < after[kind])).toBe(true);
    }
  }
  tell({ crashes, tokens });
});
