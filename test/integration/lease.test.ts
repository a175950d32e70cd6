import { Fencepost, StaleTokenError } from 'fencepost';
import { afterAll, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

test('a lease excludes another process, and is free after its release', async () => {
  await using one = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  const lease = await one.leases.acquire('a', { ttl: '5s' });
  expect(lease.state).toBe('held');
  expect(await other.leases.tryAcquire('a')).toBeNull();
  await lease.release();
  expect(lease.state).toBe('released');
  await using next = await other.leases.acquire('a', { wait: '1s' });
  expect(next.token > lease.token).toBe(true);
  const client = await database.pool.connect();
  await client.query('begin');
  await next.guard(client);
  await expect(lease.guard(client)).rejects.toThrow(StaleTokenError);
  await client.query('rollback');
  client.release();
});
