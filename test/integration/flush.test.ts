import { afterAll, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

test('flush ends when what was committed before it is on the disk, though nobody else commits', async () => {
  await database.query('create table note (n integer)');
  for (let round = 1; round <= 20; round += 1) {
    await database.query(
      `begin; set local synchronous_commit = off; insert into note values (${round}); commit`,
    );
    const [written] = await database.query<{ lsn: string }>(
      'select pg_current_wal_insert_lsn()::text as lsn',
    );
    await database.query('select fencepost.flush()');
    const [flushed] = await database.query<{ there: boolean }>(
      `select pg_current_wal_flush_lsn() >= '${written?.lsn}' as there`,
    );
    expect(flushed?.there).toBe(true);
  }
});
