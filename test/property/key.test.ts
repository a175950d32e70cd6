import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { familyOf, type Key, keyHash, keyText } from '../../src/core/key.ts';
import { createDatabase } from '../support/database.ts';
import { keyVectors } from '../support/key-vectors.ts';

const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

interface NamedKey {
  readonly namespace: string;
  readonly key: Exclude<Key, bigint>;
}

const batch = 500;
const maxBytes = 8_192;

/** All of Unicode except for NUL and surrogates; combined characters and emoji; ASCII with its control characters. */
const anyText = fc.oneof(
  ...(['binary', 'grapheme', 'binary-ascii'] as const).map((unit) => storable(fc.string({ unit }))),
  storable(fc.string({ unit: 'binary', minLength: 200, maxLength: 1_500, size: 'max' })),
);

const latin1Text = storable(
  fc.string({ unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)) }),
);

function storable(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return text.map((value) => value.replaceAll('\0', ''));
}

function namedKeys(text: fc.Arbitrary<string>): fc.Arbitrary<NamedKey[]> {
  const part = fc.oneof({ weight: 4, arbitrary: text }, fc.maxSafeInteger(), fc.bigInt());
  const key = fc.oneof(text, fc.array(part, { minLength: 1, maxLength: 6 }));
  const named = fc
    .record({ namespace: fc.oneof(fc.constant(''), text), key })
    .filter((one) => encodedBytes(one) <= maxBytes);
  return fc.array(named, { minLength: batch, maxLength: batch, size: 'max' });
}

function texts(key: Exclude<Key, bigint>): string[] {
  return typeof key === 'string' ? [key] : key.map(String);
}

function encodedBytes({ namespace, key }: NamedKey): number {
  return [namespace, ...texts(key)]
    .map((part) => Buffer.byteLength(part))
    .reduce((sum, bytes) => sum + String(bytes).length + 1 + bytes, 0);
}

/** What SQL says, by `key_in` for all and by `key` where there is no namespace. */
async function numbersInSql(client: pg.Pool | pg.Client, keys: readonly NamedKey[]): Promise<bigint[]> {
  const given = keys.map(({ namespace, key }) => ({ namespace, parts: texts(key) }));
  const { rows } = await client.query<{ key_in: string; key: string | null }>(
    `select fencepost.key_in(namespace, variadic parts),
            case namespace when '' then fencepost.key(variadic parts) end as key
     from json_array_elements($1) with ordinality as given (one, n),
          lateral (select one ->> 'namespace', array(select json_array_elements_text(one -> 'parts')))
            as read (namespace, parts)
     order by n`,
    [JSON.stringify(given)],
  );
  for (const { key, key_in } of rows) expect(key ?? key_in).toBe(key_in);
  return rows.map(({ key_in }) => BigInt(key_in));
}

async function compare(
  client: pg.Pool | pg.Client,
  text: fc.Arbitrary<string>,
  numRuns: number,
): Promise<number> {
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(namedKeys(text), async (keys) => {
      const inSql = await numbersInSql(client, keys);
      expect(keys.map(({ namespace, key }) => keyHash('key', key, namespace))).toEqual(inSql);
      compared += keys.length;
    }),
    { numRuns, interruptAfterTimeLimit: 60_000, markInterruptAsFailure: true },
  );
  return compared;
}

describe('a key in SQL', () => {
  it('has the number it has in TypeScript, whatever Unicode it is made of', async () => {
    const compared = await compare(database.pool, anyText, 40);
    console.info(`compared ${compared} keys in SQL and TypeScript`);
    expect(compared).toBe(40 * batch);
  }, 90_000);

  it('is of the family it is of in TypeScript', async () => {
    const separated = fc.array(fc.oneof(anyText, fc.constantFrom(...':/.#-_ \\"[19'.split(''))), {
      maxLength: 6,
    });
    const joined = separated.map((parts) => parts.join(''));
    const any: fc.Arbitrary<Key> = fc.oneof(
      joined,
      fc.array(joined, { minLength: 1, maxLength: 3 }),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    );
    const texts = fc.sample(any, 4 * batch).map((key) => keyText('key', key));
    const rows = await database.query<{ family: string }>(
      'select fencepost.family(t.name) as family from unnest($1::text[]) with ordinality t(name, ord) order by ord',
      [texts],
    );
    expect(rows.map(({ family }) => family)).toEqual(texts.map(familyOf));
  });

  it('has the number it always had', async () => {
    const keys = keyVectors.map(({ namespace = '', parts }) => ({ namespace, key: parts }));
    expect(await numbersInSql(database.pool, keys)).toEqual(keyVectors.map(({ number }) => number));
  });

  it('has the same number in a database that is not in UTF-8', async () => {
    const name = `${database.name}_latin1`;
    await database.query(
      `create database ${name} template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'`,
    );
    const client = new pg.Client({ connectionString: database.url.replace(database.name, name) });
    await client.connect();
    try {
      await client.query('create schema fencepost; set search_path = fencepost, pg_temp');
      await client.query(await readFile(new URL('../../sql/key.sql', import.meta.url), 'utf8'));
      await client.query('reset search_path');
      expect(await compare(client, latin1Text, 4)).toBe(4 * batch);
      const longest = 'é'.repeat(4_092);
      expect(await numbersInSql(client, [{ namespace: '', key: `${longest}x` }])).toEqual([
        keyHash('key', `${longest}x`),
      ]);
      await expect(numbersInSql(client, [{ namespace: '', key: `${longest}é` }])).rejects.toThrow(
        '8192 bytes',
      );
    } finally {
      await client.end();
      await database.query(`drop database ${name} with (force)`);
    }
  });

  it.each([
    ['no list', 'null::text[]', 'key: expected a list of at least one part'],
    ['an empty list', `'{}'`, 'key: expected a list of at least one part'],
    ['a list of lists', `array[['a', 'b'], ['c', 'd']]`, 'key: expected a list of at least one part'],
    ['a part that is null', `array['a', null]`, 'key: expected a text as part 2, got null'],
    ['more than 8,192 bytes', `array[repeat('x', 8186)]`, 'key: expected at most 8192 bytes'],
    ['4,096 empty parts', `array_fill(''::text, array[4096])`, 'key: expected at most 8192 bytes'],
  ])('is refused for %s', async (_what, parts, message) => {
    const refusal = { code: '22023', message: expect.stringContaining(message) };
    await expect(database.query(`select fencepost.key(variadic ${parts})`)).rejects.toMatchObject(refusal);
    await expect(database.query(`select fencepost.key_in('n', variadic ${parts})`)).rejects.toMatchObject(
      refusal,
    );
  });

  it('is refused for a namespace that is null', async () => {
    await expect(database.query(`select fencepost.key_in(null, 'a')`)).rejects.toMatchObject({
      code: '22023',
      message: 'namespace: expected a text, got null',
    });
  });

  it('is accepted up to the same length as in TypeScript', async () => {
    const key = 'x'.repeat(8_185);
    expect(await numbersInSql(database.pool, [{ namespace: '', key }])).toEqual([keyHash('key', key)]);
    expect(() => keyHash('key', `${key}x`)).toThrow('at most 8192 bytes');
  });

  it('keeps its number when the caller has functions and operators of the same names', async () => {
    const client = await database.pool.connect();
    try {
      await client.query(`begin;
        create schema hostile;
        create function hostile.convert_to(text, text) returns bytea language sql return ''::bytea;
        create function hostile.array_ndims(text[]) returns integer language sql return 2;
        create function hostile.length(bytea) returns integer language sql return 0;
        create function hostile.join(integer, text) returns text language sql return 'x';
        create function hostile.join(text, integer) returns text language sql return 'x';
        create operator hostile.|| (function = hostile.join, leftarg = integer, rightarg = text);
        create operator hostile.|| (function = hostile.join, leftarg = text, rightarg = integer);
        set local search_path = hostile, pg_catalog, pg_temp`);
      const { rows } = await client.query(`select fencepost.key('invoice', '7')`);
      expect(rows).toEqual([{ key: String(keyHash('key', ['invoice', 7])) }]);
    } finally {
      await client.query('rollback');
      client.release();
    }
  });
});
