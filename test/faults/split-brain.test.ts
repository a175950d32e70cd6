import { Fencepost, fencedColumnSql } from 'fencepost';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { tell } from '../support/figures.ts';
import { startOwnServer } from '../support/postmaster.ts';
import { startStandby } from '../support/standby.ts';

const slow = { timeout: 60_000, tags: ['F31'] };

test(
  'while two primaries are alive, a fenced column takes only what the newer one has let in',
  slow,
  async () => {
    await using first = await startOwnServer({ fsync: false, postgresFlags: ['-c', 'wal_level=replica'] });
    await using standby = await startStandby(first);
    // What is written to is elsewhere, and knows nothing of either.
    await using resource = await createDatabase();
    await resource.query('create table ledger (id integer primary key, writer text)');
    await resource.query(fencedColumnSql({ table: 'ledger' }));
    await resource.query('create table plain (id integer primary key, writer text)');
    await resource.query(`insert into ledger values (1, 'nobody')`);
    await resource.query(`insert into plain values (1, 'nobody')`);
    const write = async (writer: string, token: bigint): Promise<void> => {
      await resource.query('update plain set writer = $1', [writer]);
      await resource.query('update ledger set writer = $1, fencing_token = $2', [writer, token]);
    };

    await standby.cutOff();
    await standby.promote();
    await using old = new Fencepost({ connection: first.url });
    await using next = new Fencepost({ connection: standby.url });
    const [oldLease, newLease] = await Promise.all([
      old.leases.acquire('ledger', { ttl: '10s' }),
      next.leases.acquire('ledger', { ttl: '10s' }),
    ]);
    await write('old', oldLease.token);
    await write('new', newLease.token);
    // Both go on, and each is right as far as its own server knows. Later tokens of the old one are no greater.
    await Promise.all([oldLease.renew(), newLease.renew()]);
    await oldLease.release();
    const later = await old.leases.acquire('ledger', { ttl: '10s' });
    expect([later.state, newLease.state]).toEqual(['held', 'held']);
    await expect(write('old', oldLease.token)).rejects.toMatchObject({ code: 'FP001' });
    await expect(write('old', later.token)).rejects.toMatchObject({ code: 'FP001' });
    expect(await resource.query('select writer from ledger')).toEqual([{ writer: 'new' }]);
    // The twin, without the fence: the old one has the last word.
    const [twin] = await resource.query<{ writer: string }>('select writer from plain');
    expect(twin?.writer).toBe('old');
    tell({
      'old token': String(later.token),
      'new token': String(newLease.token),
      'without the fence': 'the old one wrote last',
    });
  },
);
