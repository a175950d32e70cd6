import { ArgumentError, Fencepost } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { livingStorages } from '../support/jobs.ts';
import { plant } from '../support/plant.ts';
import { until } from '../support/until.ts';
import { buryHolders } from './claim-rules.ts';

interface Tables {
  job: { id: number; customer: string; kind: number; priority: number; status: string };
}

describe.each(livingStorages)('claims in storage %s with a limit for each key', async (storage) => {
  const database = await createDatabase();
  afterAll(() => database[Symbol.asyncDispose]());
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: database.pool }) });
  await database.query(`
    create table job (id integer generated always as identity primary key, customer text not null,
      kind integer not null default 1, priority integer not null default 0, status text not null default 'new')`);

  const define = (fencepost: Fencepost, limit: number, options: object = {}) =>
    fencepost.claims.define<Tables, 'job'>({
      db,
      table: 'job',
      key: 'id',
      tenant: 'customer',
      where: (eb) => eb('status', '=', 'new'),
      orderBy: ['priority desc', 'id'],
      perKey: { by: 'customer', limit },
      done: { status: 'done' },
      maxAttempts: 3,
      storage,
      ...options,
    });
  const open = () => new Fencepost({ connection: database.url });
  /** A job for each letter, of the customer that it names. */
  const insert = (customers: string) =>
    database.query(`insert into job (customer) select unnest($1::text[])`, [[...customers]]);
  const idsOf = (claims: readonly { readonly row: { readonly id: number } }[]) =>
    claims.map(({ row }) => row.id);

  {
    await using fencepost = open();
    await define(fencepost, 1).ensure();
  }
  beforeEach(() => database.query('truncate job, fencepost.claim, fencepost.claim_batch restart identity'));

  test('give no key more than its limit, and all that the others have', async () => {
    await insert('aaaabbc');
    await using one = open();
    await using other = open();
    const first = await define(one, 2).claim({ limit: 10 });
    expect(idsOf(first)).toEqual([1, 2, 5, 6, 7]);
    expect(await define(other, 2).claim({ limit: 10 })).toEqual([]);
    await first[1]?.complete();
    expect(idsOf(await define(other, 2).claim({ limit: 10 }))).toEqual([3]);
    expect(await define(one, 2).claimKeys([4])).toEqual([]);
    await first[0]?.release();
    expect(idsOf(await define(one, 2).claimKeys([1, 4]))).toEqual([1]);
  });

  test('go round the keys, so that none comes first for ever', async () => {
    await insert('aaabbbccc');
    await using fencepost = open();
    const jobs = define(fencepost, 3);
    const customers: string[] = [];
    for (let call = 0; call < 4; call += 1) {
      const [claim] = await jobs.claim({ limit: 1 });
      customers.push(String(claim?.row.customer));
      await claim?.complete();
    }
    expect(customers).toEqual(['a', 'b', 'c', 'a']);
    expect(await jobs.claim({ limit: 9, tenant: 'b' })).toHaveLength(2);
  });

  test('do those of one key in order when the limit is 1, also while the first waits for another attempt', async () => {
    await insert('aab');
    await using one = open();
    await using other = open();
    const jobs = define(one, 1);
    const claims = await jobs.claim({ limit: 10 });
    expect(idsOf(claims)).toEqual([1, 3]);
    await claims[0]?.release({ after: '1h', error: 'not yet' });
    expect(await define(other, 1).claim({ limit: 10 })).toEqual([]);
    await database.query(
      storage === 'columns'
        ? 'update job set fencepost_due = now() where fencepost_due is not null'
        : `update fencepost.claim set due = now() where due > now()`,
    );
    const [again] = await jobs.claim();
    expect([again?.row.id, again?.attempt]).toEqual([1, 2]);
    await again?.fail('never');
    expect(idsOf(await define(other, 1).claim({ limit: 10 }))).toEqual([2]);
  });

  test('do not let one that comes before the others begin while one of them is under way', async () => {
    await insert('aa');
    await using fencepost = open();
    const jobs = define(fencepost, 1);
    const [first] = await jobs.claim();
    await database.query(`insert into job (customer, priority) values ('a', 9)`);
    expect(await jobs.claim()).toEqual([]);
    expect(await jobs.claimKeys([3])).toEqual([]);
    await first?.complete();
    expect(idsOf(await jobs.claim({ limit: 9 }))).toEqual([3]);
  });

  test('count those of the dead no more, and begin with them', async () => {
    await insert('aaa');
    await using one = open();
    await using other = open();
    await define(one, 1).claim();
    await buryHolders(database);
    const [again] = await define(other, 1).claim({ limit: 3 });
    expect([again?.row.id, again?.attempt]).toEqual([1, 2]);
    expect(await define(one, 1).claim({ limit: 3 })).toEqual([]);
  });

  /** Which rows a claim gets that waits for its turn while somebody else claims one. */
  async function waitForTurn(): Promise<number[]> {
    await insert('aaaa');
    await using one = open();
    await using other = open();
    const turn = await database.pool.connect();
    await turn.query(`begin; select fencepost.claim_turn('job'::regclass)`);
    const coming = define(other, 2).claim({ limit: 4 });
    const waits = () =>
      database.query(`select from pg_locks where locktype = 'advisory' and not granted
       and database = (select oid from pg_database where datname = current_database())`);
    await until('it waits for its turn', async () => (await waits()).length > 0);
    // One that knows of no limit takes no turns.
    await define(one, 2, { perKey: undefined }).claim();
    await turn.query('commit');
    turn.release();
    return idsOf(await coming);
  }

  test('count what was claimed while they waited for their turn', async () => {
    expect(await waitForTurn()).toEqual([2]);
  });

  const counting: [string, string] = [
    'return v_live',
    'perform pg_advisory_lock_shared(77); perform pg_advisory_unlock_shared(77); return v_live',
  ];

  /** How many rows two claims get together, of which the second comes when the first has counted and not claimed yet. */
  async function overlap(): Promise<number> {
    await insert('aaaa');
    await using one = open();
    await using other = open();
    const gate = await database.pool.connect();
    await gate.query('select pg_advisory_lock(77)');
    const waiting = async () =>
      (
        await database.query(`select from pg_locks where locktype = 'advisory' and not granted
       and database = (select oid from pg_database where datname = current_database())`)
      ).length;
    const first = define(one, 2).claim({ limit: 4 });
    await until('the first has counted', async () => (await waiting()) === 1);
    const second = define(other, 2).claim({ limit: 4 });
    await until('the second waits as well', async () => (await waiting()) === 2);
    await gate.query('select pg_advisory_unlock(77)');
    gate.release();
    return (await Promise.all([first, second])).flat().length;
  }

  test('wait for one that has counted, until it has claimed', async () => {
    await plant(database.query, 'claim_live', counting);
    expect(await overlap()).toBe(2);
    await plant(database.query, 'claim_live');
  });

  // Beside the table the row itself is refused as well.
  if (storage === 'columns') {
    test('would be found when they count what was there as they began', async () => {
      await plant(database.query, 'claim_live', ['plpgsql volatile', 'plpgsql stable']);
      expect(await waitForTurn()).toEqual([2, 3]);
      await plant(database.query, 'claim_live');
    });

    test('would be found when they count without taking turns', async () => {
      await plant(database.query, 'claim_live', counting);
      await plant(database.query, 'claim_turn', ['perform pg_advisory_xact_lock', '-- ']);
      expect(await overlap()).toBeGreaterThan(2);
      await plant(database.query, 'claim_live');
      await plant(database.query, 'claim_turn');
    });
  }

  test('give many that claim at once no more together', async () => {
    await insert('aaaaaaaaaabbbbbbbbbb');
    const all = Array.from({ length: 3 }, open);
    const batches = await Promise.all(
      all.flatMap((one) => [1, 2, 3].map(() => define(one, 3).claim({ limit: 4 }))),
    );
    const customers = batches.flat().map(({ row }) => row.customer);
    expect(customers.sort().join('')).toBe('aaabbb');
    await Promise.all(all.map((one) => one.close()));
  });

  test('may be keyed by several columns', async () => {
    await insert('aab');
    await database.query(`update job set kind = id`);
    await using fencepost = open();
    const jobs = define(fencepost, 1, { perKey: { by: ['customer', 'kind'], limit: 1 } });
    expect(await jobs.claim({ limit: 9 })).toHaveLength(3);
  });

  test('let workers go on as soon as there is room', async () => {
    await insert('a'.repeat(30));
    await using fencepost = open();
    const order: number[] = [];
    const workers = define(fencepost, 1).work({ poll: '1h' }, async ({ row }) => order.push(row.id));
    await until('all are done', () => order.length === 30);
    await workers.stop();
    expect(order).toEqual(Array.from({ length: 30 }, (_, place) => place + 1));
  });

  test('refuse keys that can be null, and limits that are none', async () => {
    await using fencepost = open();
    await database.query('alter table job alter kind drop not null');
    const jobs = define(fencepost, 1, { perKey: { by: 'kind', limit: 1 } });
    await expect(jobs.claim()).rejects.toThrow(/options.perKey.by: expected columns that are not null/);
    await database.query('alter table job alter kind set not null');
    for (const perKey of [{ by: 'customer', limit: 0 }, { by: [], limit: 1 }, { limit: 1 }, 3]) {
      expect(() => define(fencepost, 1, { perKey })).toThrow(ArgumentError);
    }
  });
});

test("storage 'held' refuses a limit for each key", async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: database.pool }) });
  const options = { db, table: 'job', key: 'id', done: 'delete', storage: 'held' } as const;
  const perKey = { by: 'customer', limit: 1 };
  expect(() => fencepost.claims.define<Tables, 'job'>({ ...options, perKey } as never)).toThrow(
    /options.perKey: expected nothing in storage 'held'/,
  );
});
