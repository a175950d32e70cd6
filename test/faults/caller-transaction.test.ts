import { Fencepost } from 'fencepost';
import { expect, test } from 'vitest';
import { advisoryLocks } from '../support/advisory.ts';
import { connect, failure } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';

test('what is held is released although the transaction of the caller has failed, before and after its end', {
  tags: ['F14'],
}, async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  await using clients = await connect(database, 1);
  const [client] = clients;
  for (const end of ['rollback', 'commit']) {
    const lease = await fencepost.leases.acquire('a');
    const lock = await fencepost.advisory.acquire('a');
    await client.query('begin');
    await lease.guard(client);
    await failure(client.query('select 1 / 0'));
    await lock.release();
    await lease.release();
    expect(await advisoryLocks(database)).toEqual([]);
    expect(await database.query('select from fencepost.leases where held')).toEqual([]);
    await client.query(end);
    // Nobody is in the way of the next one.
    await using next = await fencepost.leases.acquire('a', { wait: '5s' });
    expect(next.token > lease.token).toBe(true);
  }
  await expect(
    fencepost.leases.using('a', async (lease) => {
      await client.query('begin');
      await lease.guard(client);
      await client.query('select 1 / 0');
    }),
  ).rejects.toMatchObject({ code: '22012' });
  await client.query('rollback');
  expect(await database.query('select from fencepost.leases where held')).toEqual([]);
});
