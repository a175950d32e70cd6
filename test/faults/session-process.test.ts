import { Fencepost } from 'fencepost';
import { expect, test } from 'vitest';
import { advisoryLocks, queued } from '../support/advisory.ts';
import { createDatabase } from '../support/database.ts';
import { type Report, startLockProcess } from '../support/lock-process.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

const key = 'a';
const ttl = 2_000;

test('a process that is killed while it holds frees its lock for who waits', { tags: ['F01'] }, async () => {
  await using database = await createDatabase({ template: false });
  await using fencepost = new Fencepost({ connection: database.url });
  await using holder = startLockProcess({ connection: database.url, key, ttl: 30_000 });
  await holder.next();
  expect(await holder.next<Report>()).toMatchObject({ kind: 'granted' });
  const waiting = fencepost.advisory.acquire(key);
  await queued(database);
  holder.signal('SIGKILL');
  const killed = performance.now();
  await using lock = await waiting;
  console.info(`freed ${(performance.now() - killed).toFixed(0)} ms after the SIGKILL of its holder`);
  expect(lock.state).toBe('held');
});

test('a process that is killed while it waits does not stall the queue', { tags: ['F02'] }, async () => {
  await using database = await createDatabase({ template: false });
  await using one = new Fencepost({ connection: database.url });
  await using next = new Fencepost({ connection: database.url });
  const held = await one.advisory.acquire(key);
  await using waiter = startLockProcess({ connection: database.url, key, ttl: 30_000 });
  const [first] = await queued(database);
  const later = next.advisory.acquire(key);
  await queued(database, 2);
  waiter.signal('SIGKILL');
  await waiter.ended;
  const killed = performance.now();
  await held.release();
  await using lock = await later;
  console.info(
    `granted to the next ${(performance.now() - killed).toFixed(0)} ms after the SIGKILL of a waiter`,
  );
  expect(lock.state).toBe('held');
  expect((await advisoryLocks(database)).map(({ pid }) => pid)).not.toContain(first?.pid);
});

test('a frozen process loses its lock after the ttl, and knows it before its first step', {
  tags: ['F05'],
  timeout: 30_000,
}, async () => {
  await using database = await createDatabase({ template: false });
  await using fencepost = new Fencepost({ connection: database.url });
  await using holder = startLockProcess({ connection: database.url, key, ttl });
  await holder.next();
  await holder.next();
  const waiting = fencepost.advisory.acquire(key);
  await queued(database);
  holder.signal('SIGSTOP');
  const stopped = performance.now();
  await using lock = await waiting;
  console.info(
    `freed ${(performance.now() - stopped).toFixed(0)} ms after the SIGSTOP of its holder, ttl ${ttl} ms`,
  );
  // The message is there before the process wakes up: it looks before anything that came later.
  holder.send({});
  holder.signal('SIGCONT');
  expect(await holder.next<Report>()).toMatchObject({ kind: 'looked', threw: 'expired', state: 'lost' });
  lock.assertHeld();
});

test('a process that was frozen while it waited does not take an old grant for a lock', {
  tags: ['F07'],
  timeout: 30_000,
}, async () => {
  await using database = await createDatabase({ template: false });
  await using fencepost = new Fencepost({ connection: database.url });
  const held = await fencepost.advisory.acquire(key);
  await using waiter = startLockProcess({ connection: database.url, key, ttl });
  const [queuedWaiter] = await queued(database);
  await waiter.next();
  waiter.signal('SIGSTOP');
  await held.release();
  // It is granted to the frozen process, which does not answer, and freed by its idle timeout.
  await using lock = await fencepost.advisory.acquire(key);
  expect((await advisoryLocks(database)).map(({ pid }) => pid)).not.toContain(queuedWaiter?.pid);
  waiter.signal('SIGCONT');
  expect(await waiter.next<Report>()).toEqual({ kind: 'refused', code: 'DATABASE' });
  lock.assertHeld();
});

test('a process that was frozen takes no grant for a lock that the server has freed since, even if nothing tells it', {
  tags: ['F07'],
  timeout: 60_000,
}, async () => {
  await using database = await createDatabase({ template: false });
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: database.url });
  const held = await fencepost.advisory.acquire(key);
  await using waiter = startLockProcess({ connection: proxy.url, key, ttl });
  await waiter.next();
  const [queuedWaiter] = await queued(database);
  // The wait was longer than what is trusted of an answer.
  await until('some time has passed', async () => {
    const [row] = await database.query<{ waited: number }>(
      `select extract(epoch from clock_timestamp() - waitstart)::float8 * 1000 as waited from pg_locks
       where not granted and database = (select oid from pg_database where datname = current_database())`,
    );
    return (row?.waited ?? 0) > 0.6 * ttl;
  });
  waiter.signal('SIGSTOP');
  // The grant reaches the process; that the session has ended since does not.
  proxy.tap = ({ link, direction, about }) => {
    if (direction === 'answer' && about('wait')) setImmediate(() => link.freeze());
    return 'pass';
  };
  await held.release();
  await using lock = await fencepost.advisory.acquire(key);
  expect((await advisoryLocks(database)).map(({ pid }) => pid)).not.toContain(queuedWaiter?.pid);
  waiter.signal('SIGCONT');
  expect(await waiter.next<Report>()).toEqual({ kind: 'refused', code: 'DATABASE' });
  lock.assertHeld();
});
