import { expect, test } from 'vitest';
import { Chain } from '../../src/core/chain.ts';

interface Numbered {
  readonly n: number;
}

const valuesOf = (count: number): Numbered[] => Array.from({ length: count }, (_, n) => ({ n }));
const numbersOf = (chain: Chain<Numbered>): number[] => chain.list().map(({ n }) => n);

test('values stand in the order in which they came, and leave from anywhere, once', () => {
  const chain = new Chain<Numbered>();
  expect([chain.empty, chain.list()]).toEqual([true, []]);
  const [a, b, c, d] = valuesOf(4) as [Numbered, Numbered, Numbered, Numbered];
  const [placeA, placeB, placeC] = [chain.add(a), chain.add(b), chain.add(c)];
  expect([chain.empty, numbersOf(chain)]).toEqual([false, [0, 1, 2]]);
  placeB.leave(b);
  placeB.leave(b);
  expect(numbersOf(chain)).toEqual([0, 2]);
  placeA.leave(a);
  const placeD = chain.add(d);
  placeA.leave(a);
  expect(numbersOf(chain)).toEqual([2, 3]);
  placeC.leave(c);
  placeD.leave(d);
  expect([chain.empty, chain.list()]).toEqual([true, []]);
});

test('of many that come and go in any order those that are left are in it, in their order', () => {
  const chain = new Chain<Numbered>();
  const values = valuesOf(1_000);
  const places = values.map((value) => chain.add(value));
  let left = values;
  for (const step of [3, 2, 7, 1]) {
    const [gone, kept] = [left.filter((_, at) => at % step === 0), left.filter((_, at) => at % step !== 0)];
    for (const value of gone) places[value.n]?.leave(value);
    for (const value of gone) places[value.n]?.leave(value);
    left = kept;
    expect(chain.list()).toEqual(left);
    expect(chain.empty).toBe(left.length === 0);
    const more = valuesOf(100).map(({ n }) => ({ n: places.length + n }));
    for (const value of more) places.push(chain.add(value));
    left = [...left, ...more];
    expect(chain.list()).toEqual(left);
  }
});

test('one at a time comes and goes in the place of the one before', () => {
  const chain = new Chain<Numbered>();
  const places = new Set(
    valuesOf(1_000).map((value) => {
      const place = chain.add(value);
      expect(numbersOf(chain)).toEqual([value.n]);
      place.leave(value);
      expect(chain.empty).toBe(true);
      return place;
    }),
  );
  expect(places.size).toBe(1);
});

test('who leaves while a list is gone through is still in that list, and not in the next', () => {
  const chain = new Chain<Numbered>();
  const values = valuesOf(3);
  const places = values.map((value) => chain.add(value));
  const seen: number[] = [];
  for (const { n } of chain.list()) {
    seen.push(n);
    for (const [at, place] of places.entries()) place.leave(values[at] as Numbered);
  }
  expect([seen, chain.list()]).toEqual([[0, 1, 2], []]);
});
