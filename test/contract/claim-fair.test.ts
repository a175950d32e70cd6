import { ArgumentError, Fencepost } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { buryHolders } from './claim-rules.ts';

interface Tables {
  job: { id: number; owner: string; priority: number };
}

describe.each(['columns', 'sidecar', 'held'] as const)('fair claims in storage %s', async (storage) => {
  const database = await createDatabase();
  const pool = new pg.Pool({ connectionString: database.url, max: 14 });
  afterAll(async () => {
    await pool.end();
    await database[Symbol.asyncDispose]();
  });
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  await database.query(`
    create table job (id integer generated always as identity primary key, owner text,
      priority integer not null default 0)`);

  const define = (fencepost: Fencepost, options: object = {}) =>
    fencepost.claims.define<Tables, 'job'>({
      db,
      table: 'job',
      key: 'id',
      tenant: 'owner',
      orderBy: ['priority desc', 'id'],
      fair: true,
      done: 'delete',
      storage,
      ...(storage === 'held' && { connections: 10 }),
      ...options,
    } as never);
  const open = () => new Fencepost({ connection: database.url });
  /** So many jobs of each of these owners. */
  const insert = (owners: string, count = 1, priority = 0) =>
    database.query(
      `insert into job (owner, priority) select o, $3 from unnest($1::text[]) o, generate_series(1, $2)`,
      [[...owners], count, priority],
    );
  const ownersOf = (claims: readonly { readonly row: Tables['job'] }[]) =>
    claims
      .map(({ row }) => row.owner)
      .sort()
      .join('');

  {
    await using fencepost = open();
    await define(fencepost).ensure();
  }
  beforeEach(() => database.query('truncate job, fencepost.claim, fencepost.claim_batch restart identity'));

  test('let nobody wait for one who has thousands, whatever comes first', async () => {
    await insert('b', 5_000, 9);
    await insert('ac');
    await using fencepost = open();
    const claims = await define(fencepost).claim({ limit: 9 });
    expect(ownersOf(claims)).toBe('abbbbbbbc');
    const floods = claims.filter(({ row }) => row.owner === 'b').map(({ row }) => row.id);
    expect(floods).toEqual([...floods].sort((one, other) => one - other));
    expect(floods[0]).toBe(1);
  });

  test('share a claim equally while there is enough', async () => {
    await insert('abc', 20);
    await using fencepost = open();
    expect(ownersOf(await define(fencepost).claim({ limit: 9 }))).toBe('aaabbbccc');
  });

  test('go round those for whom there is no place in one claim', async () => {
    await insert('abcde', 20);
    await using fencepost = open();
    const jobs = define(fencepost);
    const owners: string[] = [];
    for (let call = 0; call < 4; call += 1) owners.push(ownersOf(await jobs.claim({ limit: 2 })));
    expect(owners).toEqual(['ab', 'cd', 'ae', 'bc']);
  });

  test('leave no place empty, and take also what has no owner', async () => {
    await insert('a', 5);
    await insert('b', 1);
    await database.query('insert into job (owner) values (null)');
    await using fencepost = open();
    const jobs = define(fencepost);
    const claims = await jobs.claim({ limit: 6 });
    expect(claims).toHaveLength(6);
    expect(await jobs.claim({ limit: 3 })).toHaveLength(1);
    expect(await jobs.claim({ limit: 3 })).toEqual([]);
    await claims[0]?.release();
    expect(await jobs.claim({ limit: 1, tenant: claims[0]?.row.owner })).toHaveLength(1);
  });

  test('from several processes give each row to one', async () => {
    await insert('abc', 4);
    const all = Array.from({ length: 3 }, open);
    const batches = await Promise.all(
      all.map((one) => define(one, storage === 'held' ? { connections: 4 } : {}).claim({ limit: 4 })),
    );
    const ids = batches.flat().map(({ row }) => row.id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(Math.max(...batches.map(({ length }) => length))).toBeLessThanOrEqual(4);
    await Promise.all(all.map((one) => one.close()));
  });

  if (storage !== 'held') {
    test('do not let what dead workers left of one keep others waiting', async () => {
      await insert('a', 100, 9);
      await insert('b', 1);
      await using one = open();
      await using other = open();
      await define(one).claim({ limit: 100, tenant: 'a' });
      await buryHolders(database);
      expect(ownersOf(await define(other).claim({ limit: 2 }))).toBe('ab');
    });
  }

  test('need a tenant, and no limit for each key', async () => {
    await using fencepost = open();
    expect(() => define(fencepost, { tenant: undefined })).toThrow(/options.fair: expected a tenant/);
    expect(() => define(fencepost, { fair: 1 })).toThrow(ArgumentError);
    expect(() => define(fencepost, { perKey: { by: 'owner', limit: 1 } })).toThrow(ArgumentError);
  });
});
