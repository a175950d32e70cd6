import { DatabaseError, Fencepost, LockLostError, StandbyError } from 'fencepost';
import { expect, test } from 'vitest';
import { advisoryLocks } from '../support/advisory.ts';
import { type OwnServer, startOwnServer } from '../support/postmaster.ts';
import { until } from '../support/until.ts';

const slow = { timeout: 60_000 };

/** The next lock that can be had, by trying again. */
const again = (fencepost: Fencepost, key: string) =>
  until('granted', () => fencepost.advisory.tryAcquire(key).catch(() => undefined), 30_000);

const ends: [string, (server: OwnServer) => Promise<void>][] = [
  ['a fast restart', (server) => server.restart('fast')],
  ['an immediate one', (server) => server.restart('immediate')],
  ['the crash of a backend', (server) => server.crash()],
];

test.each(ends)(
  'after %s of the server all its locks are lost, and all works again',
  { ...slow, tags: ['F15', 'F16', 'F17'] },
  async (_, end) => {
    await using server = await startOwnServer({ fsync: false });
    await using fencepost = new Fencepost({ connection: server.url });
    await using other = new Fencepost({ connection: server.url });
    const locks = await Promise.all(['a', 'b', 'c'].map((key) => fencepost.advisory.acquire(key)));
    const signals = locks.map(({ signal }) => signal);
    const waiting = expect(other.advisory.acquire('a')).rejects.toThrow(DatabaseError);
    await end(server);
    await waiting;
    await until('told', () => signals.every(({ aborted }) => aborted));
    for (const { reason } of signals) {
      expect(reason).toBeInstanceOf(LockLostError);
      expect(reason).toMatchObject({ reason: 'connection' });
    }
    await using lock = await again(other, 'a');
    await using next = await again(fencepost, 'b');
    expect([lock.state, next.state]).toEqual(['held', 'held']);
    expect(await advisoryLocks(server)).toHaveLength(2);
  },
);

test('a standby is refused, and serves after its promotion', { ...slow, tags: ['F34'] }, async () => {
  await using server = await startOwnServer({ fsync: false });
  await using fencepost = new Fencepost({ connection: server.url });
  const lock = await fencepost.advisory.acquire('a');
  await server.becomeStandby();
  expect(lock.state).toBe('lost');
  const { advisory } = fencepost;
  for (const ask of [
    () => advisory.acquire('a'),
    () => advisory.tryAcquire('a'),
    () => advisory.acquireAll(['a', 'b']),
  ]) {
    const refused = ask();
    await expect(refused).rejects.toThrow(StandbyError);
    await expect(refused).rejects.toMatchObject({ code: 'STANDBY', retriable: true });
  }
  expect(await advisoryLocks(server)).toEqual([]);
  await server.query('select pg_promote()');
  await using next = await again(fencepost, 'a');
  expect(next.state).toBe('held');
});
