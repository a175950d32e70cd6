import { expect, test } from 'vitest';
import { Chain } from '../../src/core/chain.ts';

test('values stand in the order in which they came, and leave from anywhere, once', () => {
  const chain = new Chain<string>();
  expect([chain.empty, chain.list()]).toEqual([true, []]);
  const [a, b, c] = ['a', 'b', 'c'].map((value) => chain.add(value));
  expect([chain.empty, chain.list()]).toEqual([false, ['a', 'b', 'c']]);
  b?.leave();
  b?.leave();
  expect(chain.list()).toEqual(['a', 'c']);
  a?.leave();
  const again = chain.add('a');
  a?.leave();
  expect(chain.list()).toEqual(['c', 'a']);
  c?.leave();
  again.leave();
  expect([chain.empty, chain.list()]).toEqual([true, []]);
});

test('who leaves while a list is gone through is still in that list, and not in the next', () => {
  const chain = new Chain<number>();
  const places = [1, 2, 3].map((value) => chain.add(value));
  const seen: number[] = [];
  for (const value of chain.list()) {
    seen.push(value);
    for (const place of places) place.leave();
  }
  expect([seen, chain.list()]).toEqual([[1, 2, 3], []]);
});
