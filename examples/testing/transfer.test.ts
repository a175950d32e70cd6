import { Fencepost, StaleTokenError } from 'fencepost';
import { createTestDatabase, freezeClock } from 'fencepost/testing';
import { afterAll, expect, inject, test } from 'vitest';
import { transfer } from './transfer.ts';

const database = await createTestDatabase(inject('databases'));
afterAll(() => database[Symbol.asyncDispose]());
const balances = () => database.query('select id, balance from account order by id');

test('a frozen process that lost its lease moves no money', async () => {
  await using fencepost = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  const lease = await fencepost.leases.acquire('accounts', { ttl: '1s' });
  await transfer(database.pool, lease, 10);

  using frozen = freezeClock(fencepost);
  await using next = await other.leases.acquire('accounts', { wait: '20s' });
  await expect(transfer(database.pool, lease, 10)).rejects.toThrow(StaleTokenError);
  frozen.thaw();
  expect([lease.state, next.state]).toEqual(['lost', 'held']);
  expect(await balances()).toEqual([
    { id: 1, balance: 90 },
    { id: 2, balance: 10 },
  ]);
});
