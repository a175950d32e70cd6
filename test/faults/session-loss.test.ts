// @module-tag F09
import { tracingChannel } from 'node:diagnostics_channel';
import { DatabaseError, Fencepost, LockLostError, LockTimeoutError } from 'fencepost';
import { afterAll, expect, test } from 'vitest';
import { advisoryLocks, queued, sessionsOfFencepost } from '../support/advisory.ts';
import { connect } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { createRole } from '../support/role.ts';
import { until } from '../support/until.ts';

const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());

const terminate = (pid: number | undefined) => database.query('select pg_terminate_backend($1)', [pid]);

const sessionOf = async (key: bigint): Promise<number | undefined> =>
  (await advisoryLocks(database)).find((lock) => lock.granted && lock.key === String(key))?.pid;

test('the end of a session takes exactly its locks, and says why', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  // One was waited for, and so is held by a session of its own; the others are on the shared one.
  const taken = await other.advisory.acquire(3n);
  const waiting = fencepost.advisory.acquire(3n);
  await queued(database);
  await taken.release();
  const alone = await waiting;
  const together = [
    await fencepost.advisory.acquire(1n),
    await fencepost.advisory.acquire(2n, { mode: 'shared' }),
  ];
  expect(await sessionOf(3n)).not.toBe(await sessionOf(1n));
  const signals = together.map(({ signal }) => signal);

  await terminate(await sessionOf(1n));
  await until('told', () => signals.every(({ aborted }) => aborted));
  for (const [index, lock] of together.entries()) {
    expect(lock.state).toBe('lost');
    expect(signals[index]?.reason).toBeInstanceOf(LockLostError);
    expect(signals[index]?.reason).toMatchObject({
      code: 'LOCK_LOST',
      reason: 'connection',
      key: lock.key,
      retriable: true,
    });
    expect(signals[index]?.reason.cause).toMatchObject({ code: '57P01' });
    expect(() => lock.assertHeld()).toThrow(LockLostError);
    await lock.release();
    expect(lock.state).toBe('lost');
  }
  expect([alone.state, alone.signal.aborted]).toEqual(['held', false]);
  expect(await other.advisory.tryAcquire(3n)).toBeNull();

  await terminate(await sessionOf(3n));
  await until('told', () => alone.signal.aborted);
  await using again = await fencepost.advisory.acquireAll([1n, 2n, 3n], { wait: 0 });
  expect(again.state).toBe('held');
});

test('who is told that a lock was lost can have it again at once', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  const lock = await fencepost.advisory.acquire('a');
  const again = new Promise((resolve) => {
    lock.signal.addEventListener('abort', () =>
      resolve(fencepost.advisory.using('a', async ({ state }) => state)),
    );
  });
  const [pid] = await sessionsOfFencepost(database);
  await terminate(pid);
  expect(await again).toBe('held');
});

test('a call whose session is ended while it waits is refused, and nothing of it is left', {
  tags: ['F10'],
}, async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  await using _held = await other.advisory.acquire('a');
  const waiting = fencepost.advisory.acquire('a');
  const refused = expect(waiting).rejects.toThrow(DatabaseError);
  const [waiter] = await queued(database);
  await terminate(waiter?.pid);
  await refused;
  await expect(waiting).rejects.toMatchObject({ retriable: true });
  expect(await advisoryLocks(database)).toHaveLength(1);
  await using next = await fencepost.advisory.acquire('b', { wait: 0 });
  expect(next.state).toBe('held');
});

test('a wait that an administrator interrupts is refused with 57014, and nothing of it is left', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  await using _held = await other.advisory.acquireAll(['b']);
  // Of the two keys it already has one when it is interrupted.
  const waiting = fencepost.advisory.acquireAll(['a', 'b', 'c']);
  const refused = expect(waiting).rejects.toMatchObject({ code: 'DATABASE', sqlState: '57014' });
  const [waiter] = await queued(database);
  await database.query('select pg_cancel_backend($1)', [waiter?.pid]);
  await refused;
  expect(await advisoryLocks(database)).toHaveLength(1);
});

test('a lock is not lost when an administrator interrupts the session that holds it', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  await using lock = await fencepost.advisory.acquire(1n);
  await database.query('select pg_cancel_backend($1)', [await sessionOf(1n)]);
  await (await fencepost.advisory.acquire(2n)).release();
  lock.assertHeld();
  expect(await sessionOf(1n)).toBeDefined();
});

test('a release that the server refuses ends the session, so that no lock stays behind', async () => {
  await using own = await createDatabase({ template: false });
  const role = await createRole(own, '_app');
  await own.query('revoke execute on function pg_advisory_unlock(bigint) from public');
  await using fencepost = new Fencepost({ connection: role.url });
  const lock = await fencepost.advisory.acquire('a');
  const other = await fencepost.advisory.acquire('b');
  expect(await advisoryLocks(own)).toHaveLength(2);
  await lock.release();
  await until('free', async () => (await advisoryLocks(own)).length === 0);
  expect([lock.state, other.state]).toEqual(['released', 'lost']);
  expect(other.signal.reason).toMatchObject({ reason: 'closed' });
  // Nor does a part of several keys that could not all be had.
  await using plain = await connect(own, 1);
  await plain[0].query('select pg_advisory_lock(2)');
  await expect(fencepost.advisory.acquireAll([1n, 2n, 3n], { wait: 0 })).rejects.toThrow(LockTimeoutError);
  await until('free', async () => (await advisoryLocks(own)).length === 1);
});

test('a statement that fails half-way while the next one takes the same shared keys leaves nobody with a lock that the server has not', async () => {
  await using own = await createDatabase({ template: false });
  // Found before the function of Postgres, and fails for one key.
  await own.query(`
    create schema first;
    create function first.pg_try_advisory_lock_shared(key bigint) returns boolean language plpgsql as $$ begin
      if key = 13 then raise 'unlucky'; end if;
      return pg_catalog.pg_try_advisory_lock_shared(key);
    end $$;
    alter database ${own.name} set search_path = first, pg_catalog`);
  await using fencepost = new Fencepost({ connection: own.url });
  const before = await fencepost.advisory.acquire(1n);
  const steps: string[] = [];
  const watch = { start: () => steps.push('sent'), asyncEnd: () => steps.push('answered') };
  const batches = tracingChannel('fencepost:batch');
  batches.subscribe(watch as never);
  const acquire = (key: bigint) => fencepost.advisory.acquire(key, { mode: 'shared' });
  // Two statements of 128 calls. The first one locks 2 and fails before it comes to 3; the second one gets both.
  const first = [2n, 13n, ...Array<bigint>(126).fill(3n)];
  const second = [...Array<bigint>(64).fill(2n), ...Array<bigint>(64).fill(3n)];
  const outcomes = await Promise.allSettled([...first, ...second].map(acquire));
  batches.unsubscribe(watch as never);
  expect(steps.slice(0, 3)).toEqual(['sent', 'sent', 'answered']);
  expect(outcomes[0]).toMatchObject({ reason: { code: 'DATABASE', sqlState: 'P0001' } });
  const granted = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const believed = new Set([before, ...granted].flatMap(({ key, state }) => (state === 'held' ? [key] : [])));
  const known = async () => (await advisoryLocks(own)).map(({ key }) => `#${key}`);
  const agreed = [...believed].toSorted();
  await until('both sides know the same', async () => String((await known()).toSorted()) === String(agreed));
  // Nor does one stay behind that nobody knows of.
  await Promise.all([before, ...granted].map((lock) => lock.release()));
  await until('free', async () => (await known()).length === 0);
  await using after = await fencepost.advisory.acquireAll([1n, 2n, 3n]);
  expect(after.state).toBe('held');
});

test('a process that loses a session with nothing held neither ends nor says so', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  await (await fencepost.advisory.acquire('a')).release();
  const [pid] = await sessionsOfFencepost(database);
  await terminate(pid);
  await until('ended', async () => !(await sessionsOfFencepost(database)).includes(pid ?? 0));
  // The news of it may still be on its way here.
  await using lock = await until('granted', () => fencepost.advisory.acquire('a').catch(() => undefined));
  expect(lock.state).toBe('held');
});

test('a session that is ended while it is opened refuses its callers, and the next one works', async () => {
  // A new session announces itself in pg_stat_activity while it is prepared: killed at any step of its opening.
  for (let round = 0; round < 20; round += 1) {
    await using fencepost = new Fencepost({ connection: database.url });
    const calls = Promise.allSettled([fencepost.advisory.acquire('a'), fencepost.advisory.acquire('b')]);
    for (let kill = 0; kill < 5; kill += 1) {
      await database.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'fencepost'`,
      );
    }
    for (const outcome of await calls) {
      if (outcome.status === 'rejected') expect(outcome.reason).toBeInstanceOf(DatabaseError);
    }
    // The last kill may still be on its way here.
    await using lock = await until('granted', () =>
      fencepost.advisory.tryAcquire('c').catch(() => undefined),
    );
    expect(lock.state).toBe('held');
  }
});
