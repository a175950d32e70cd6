import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../../src/core/errors.ts';
import { type Key, keyHash, keyText } from '../../src/core/key.ts';
import { keyVectors } from '../support/key-vectors.ts';

/** Strings over the characters that have a meaning in one of the encodings, so that collisions would be found. */
const trickyText = fc.string({
  unit: fc.constantFrom('[', ']', '"', ',', '\\', '#', ':', '-', '0', '1', '2', 'é'),
});
const trickyKey: fc.Arbitrary<Key> = fc.oneof(
  trickyText,
  fc.integer({ min: -30, max: 30 }).map(BigInt),
  fc.array(fc.oneof(trickyText, fc.integer({ min: -30, max: 30 })), { minLength: 1, maxLength: 3 }),
);

/** What makes two keys one: the bigint, or the list of texts. */
function identity(key: Key): string {
  if (typeof key === 'bigint') return String(key);
  return JSON.stringify(typeof key === 'string' ? [key] : key.map(String));
}

const wrongKeys: [key: unknown, argument: string][] = [
  [undefined, 'key'],
  [null, 'key'],
  [7, 'key'],
  [true, 'key'],
  [{ tenant: 't1' }, 'key'],
  [[], 'key'],
  ['a\0b', 'key'],
  ['a\ud800', 'key'],
  ['\udc00b', 'key'],
  [2n ** 63n, 'key'],
  [-(2n ** 63n) - 1n, 'key'],
  [['a', 'b\0'], 'key[1]'],
  [['\ud83d', 'b'], 'key[0]'],
  // Two halves of a pair, which a mere concatenation would heal.
  [['\ud83d', '\udd12'], 'key[0]'],
  [['a', ['b']], 'key[1]'],
  [['a', null], 'key[1]'],
  [['a', undefined], 'key[1]'],
  [['a', false], 'key[1]'],
  [['a', 1.5], 'key[1]'],
  [['a', Number.NaN], 'key[1]'],
  [['a', 2 ** 53], 'key[1]'],
  [Array(2), 'key[0]'],
];

describe('keyHash', () => {
  it.each(keyVectors)(
    'gives $parts in namespace $namespace the number it always had',
    ({ namespace, parts, number }) => {
      expect(keyHash('key', parts, namespace)).toBe(number);
    },
  );

  it('takes a string and a list of that one string for one key', () => {
    expect(keyHash('key', 'a')).toBe(keyHash('key', ['a']));
  });

  it('takes a number, a bigint and their decimal text for one part', () => {
    expect(keyHash('key', ['invoice', 7])).toBe(keyHash('key', ['invoice', '7']));
    expect(keyHash('key', ['invoice', 7n])).toBe(keyHash('key', ['invoice', '7']));
    expect(keyHash('key', [-0])).toBe(keyHash('key', ['0']));
    expect(keyHash('key', [2n ** 64n])).toBe(keyHash('key', ['18446744073709551616']));
  });

  it.each([0n, 7n, -1n, 2n ** 63n - 1n, -(2n ** 63n)])(
    'uses the bigint %s as it is, in every namespace',
    (key) => {
      expect(keyHash('key', key)).toBe(key);
      expect(keyHash('key', key, 'billing')).toBe(key);
    },
  );

  it('gives two keys one number only if they are one key', () => {
    const keys = fc.sample(trickyKey, { numRuns: 20_000, seed: 2 }).filter((key) => typeof key !== 'bigint');
    expect(distinct(keys, (key) => keyHash('key', key))).toBe(distinct(keys, identity));
  });

  it('keeps a namespace apart from the first part', () => {
    expect(keyHash('key', ['b', 'c'], 'a')).not.toBe(keyHash('key', ['a', 'b', 'c']));
    expect(keyHash('key', 'b', 'a')).not.toBe(keyHash('key', 'ab'));
  });

  it('accepts 8,192 bytes with namespace and lengths, and not one more', () => {
    const longest = 'é'.repeat(4_092); // '0:' and '8184:' in front make 8,191 bytes
    expect(keyHash('key', `${longest}x`)).toBeTypeOf('bigint');
    expect(() => keyHash('key', `${longest}é`)).toThrow(/^key: expected at most 8192 bytes/);
    expect(() => keyHash('key', `${longest}x`, 'n')).toThrow(/^key: expected at most 8192 bytes/);
    expect(() => keyHash('key', Array(4_096).fill(''))).toThrow(/^key: expected at most 8192 bytes/);
  });

  it('refuses a namespace that Postgres cannot store', () => {
    expect(() => keyHash('key', 'a', 'b\0')).toThrow(/^namespace: expected a string without NUL/);
  });
});

describe('keyText', () => {
  it.each<[Key, string]>([
    ['report', 'report'],
    ['', ''],
    [['report'], 'report'],
    [[7], '7'],
    [7n, '#7'],
    [-7n, '#-7'],
    [['invoice', 7], '["invoice","7"]'],
    [['', ''], '["",""]'],
    ['["invoice","7"]', '\\["invoice","7"]'],
    ['#7', '\\#7'],
    ['\\#7', '\\\\#7'],
    [['[x'], '\\[x'],
    ['a#[\\', 'a#[\\'],
    [['🔒', 'ü"'], '["🔒","ü\\""]'],
  ])('writes %o as %s', (key, text) => {
    expect(keyText('key', key)).toBe(text);
  });

  it('gives two keys one text only if they are one key', () => {
    const keys = fc.sample(trickyKey, { numRuns: 20_000, seed: 3 });
    expect(distinct(keys, (key) => keyText('key', key))).toBe(distinct(keys, identity));
  });

  it('agrees with keyHash on which keys are one', () => {
    fc.assert(
      fc.property(trickyKey, trickyKey, (one, other) => {
        if (typeof one === 'bigint' || typeof other === 'bigint') return;
        expect(keyText('key', one) === keyText('key', other)).toBe(
          keyHash('key', one) === keyHash('key', other),
        );
      }),
    );
  });
});

describe.each([
  ['keyHash', keyHash],
  ['keyText', keyText],
])('%s', (_name, read) => {
  it.each(wrongKeys)('refuses %o and names %s', (key, argument) => {
    const call = (): unknown => read('key', key as Key);
    expect(call).toThrow(ArgumentError);
    expect(call).toThrow(
      expect.objectContaining({ argument, message: expect.stringContaining(`${argument}: `) }),
    );
  });

  it('says what a part has to be and what came', () => {
    expect(() => read('key', ['a', 1.5])).toThrow(
      'key[1]: expected a string, a safe integer or a bigint, got 1.5',
    );
  });
});

function distinct<Value>(keys: readonly Key[], by: (key: Key) => Value): number {
  return new Set(keys.map(by)).size;
}
