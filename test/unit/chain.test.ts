import { expect, test } from 'vitest';
import { Chain, type Linked, unlink } from '../../src/core/chain.ts';

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

test('a value that is its own place stands among the others, and can come again', () => {
  class Own implements Linked {
    before: Linked | undefined = undefined;
    after: Linked | undefined = undefined;
    leave(): void {
      unlink(this);
    }
  }
  const chain = new Chain<Own | string>();
  const own = new Own();
  chain.add('a');
  chain.join(own);
  const b = chain.add('b');
  expect(chain.list()).toEqual(['a', own, 'b']);
  own.leave();
  own.leave();
  expect(chain.list()).toEqual(['a', 'b']);
  chain.join(own);
  b.leave();
  expect(chain.list()).toEqual(['a', own]);
});
