import { Fencepost } from 'fencepost';
import { afterAll, expect, test, vi } from 'vitest';
import { connect, failure } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { blockedIn } from '../support/sessions.ts';

const database = await createDatabase({ template: false });
afterAll(() => database[Symbol.asyncDispose]());

test('shows who holds, who waits, for how long, and who is in whose way', async () => {
  await using holder = new Fencepost({
    connection: { connectionString: database.url, application_name: 'holder' },
  });
  await using waiter = new Fencepost({
    connection: { connectionString: database.url, application_name: 'waiter' },
  });
  await using lock = await holder.advisory.acquire(['invoice', 7]);
  const waiting = waiter.advisory.acquire(['invoice', '7']);
  const locks = await vi.waitFor(async () => {
    const found = await holder.inspect.locks();
    expect(found).toHaveLength(2);
    return found;
  });
  const [held, wanted] = locks;
  expect(held).toMatchObject({
    key: '["invoice","7"]',
    mode: 'exclusive',
    granted: true,
    application: 'holder',
    blockedBy: [],
  });
  expect(held?.waited).toBeUndefined();
  expect(wanted).toMatchObject({
    key: '["invoice","7"]',
    granted: false,
    application: 'waiter',
    blockedBy: [held?.pid],
  });
  expect(wanted?.waited).toBeGreaterThanOrEqual(0);
  await lock.release();
  await (await waiting).release();
  expect(await holder.inspect.locks()).toEqual([]);
});

test('a reader waits for the writer before it, and that one for all readers that hold', async () => {
  const locks = async (count: number) =>
    await vi.waitFor(async () => {
      const found = await observer.inspect.locks();
      expect(found).toHaveLength(count);
      return found;
    });
  await using observer = new Fencepost({ connection: database.url });
  await using readers = new Fencepost({ connection: database.url });
  await using writer = new Fencepost({ connection: database.url });
  await using late = new Fencepost({ connection: database.url });
  const held = await readers.advisory.acquire('book', { mode: 'shared' });
  const writing = writer.advisory.acquire('book');
  await locks(2);
  const reading = late.advisory.acquire('book', { mode: 'shared' });
  const [reads, writes, waits] = await locks(3);
  expect([reads?.blockedBy, writes?.blockedBy]).toEqual([[], [reads?.pid]]);
  expect(waits).toMatchObject({ mode: 'shared', granted: false, blockedBy: [writes?.pid] });
  await held.release();
  await (await writing).release();
  await (await reading).release();
});

test('names a key that this process does not use only when it is told of it; the server knows just a number', async () => {
  await using holder = new Fencepost({ connection: database.url, namespace: 'app' });
  await using observer = new Fencepost({ connection: database.url, namespace: 'app' });
  await using lock = await holder.advisory.acquire('secret-tenant', { mode: 'shared' });
  expect(await observer.inspect.locks()).toMatchObject([{ key: undefined, mode: 'shared' }]);
  expect(await observer.inspect.locks({ keys: ['secret-tenant'] })).toMatchObject([{ key: lock.key }]);
  const visible = await database.query(
    "select * from pg_stat_activity where query not like '%pg_stat_activity%'",
  );
  expect(JSON.stringify(visible)).not.toContain('secret-tenant');
});

test('a look that is under way when its Fencepost is closed says so', async () => {
  await using own = await createDatabase();
  await using clients = await connect(own, 1);
  const fencepost = new Fencepost({ connection: own.url });
  await clients[0].query('begin; lock table fencepost.lease in access exclusive mode');
  const looking = failure(fencepost.inspect.leases());
  await blockedIn(own, 'leases');
  await fencepost.close();
  expect(await looking).toMatchObject({
    code: 'DATABASE',
    message: expect.stringContaining('this Fencepost was closed while the database ran'),
    cause: { code: 'STATE', message: 'this Fencepost is closed' },
  });
  await clients[0].query('rollback');
});
