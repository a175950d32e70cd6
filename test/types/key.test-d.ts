import { expectTypeOf, it } from 'vitest';
import { type Key, keyHash, keyText } from '../../src/core/key.ts';

it('accepts strings, bigints and lists of strings, numbers and bigints', () => {
  expectTypeOf<'invoice'>().toExtend<Key>();
  expectTypeOf<7n>().toExtend<Key>();
  expectTypeOf<[string, number, bigint]>().toExtend<Key>();
  expectTypeOf<readonly ['invoice', 7]>().toExtend<Key>();
  expectTypeOf<string[]>().toExtend<Key>();
});

it('refuses everything else', () => {
  // @ts-expect-error a number alone could be meant as text or as the 64-bit key
  keyHash('key', 7);
  // @ts-expect-error a boolean
  keyHash('key', true);
  // @ts-expect-error null
  keyHash('key', null);
  // @ts-expect-error an object
  keyHash('key', { tenant: 't1', name: 'invoice' });
  // @ts-expect-error a list in a list
  keyHash('key', ['invoice', ['7']]);
  // @ts-expect-error a boolean in a list
  keyHash('key', ['invoice', true]);
  // @ts-expect-error an optional part
  keyHash('key', ['invoice', undefined]);
  // @ts-expect-error a date in a list
  keyText('key', ['invoice', new Date()]);
  // @ts-expect-error a symbol
  keyText('key', Symbol('invoice'));
});

it('has a bigint for its number, never a number', () => {
  expectTypeOf(keyHash).returns.toEqualTypeOf<bigint>();
  expectTypeOf(keyText).returns.toEqualTypeOf<string>();
});
