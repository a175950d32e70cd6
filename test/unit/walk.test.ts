import { expect, test } from 'vitest';
import { Walk } from '../../src/claim/walk.ts';
import type { Moment } from '../../src/core/clock.ts';

const position = (value: string) => ({ values: [value], token: 1n });

function walkOf() {
  let time = 0;
  const now = (): Moment => ({ monotonic: time, wall: time });
  const walk = new Walk({ now, after: () => () => {} });
  return {
    walk,
    pass: (milliseconds: number) => {
      time += milliseconds;
    },
    /** A claim that takes so long. */
    claim(milliseconds: number, end: string | null, tenant?: string) {
      const from = walk.next(tenant);
      const began = now();
      time += milliseconds;
      walk.ended(tenant, from, began, end === null ? null : position(end));
      return from;
    },
  };
}

test('a quick look from the start is made again', () => {
  const { walk, claim } = walkOf();
  expect(claim(9, '5')).toBeNull();
  expect(claim(9, '7')).toBeNull();
  expect(walk.rest).toBe(Infinity);
});

test('after a slow one claims go on behind each other for ten times as long', () => {
  const { claim, pass } = walkOf();
  claim(20, '5');
  expect(claim(1, '7')).toEqual(position('5'));
  expect(claim(1, '9')).toEqual(position('7'));
  pass(197);
  expect(claim(1, '11')).toEqual(position('9'));
  expect(claim(20, '13')).toBeNull();
  expect(claim(1, '15')).toEqual(position('13'));
});

test('but for a second at most', () => {
  const { claim, pass } = walkOf();
  claim(5_000, '5');
  pass(999);
  expect(claim(1, '7')).toEqual(position('5'));
  expect(claim(1, '9')).toBeNull();
});

test('where nothing is left, claims go on from the same place', () => {
  const { walk, claim } = walkOf();
  claim(20, '5');
  expect(claim(1, null)).toEqual(position('5'));
  expect(claim(1, '7')).toEqual(position('5'));
  expect(walk.rest).toBe(198);
});

test('a look from the start that found all there was need not be made again sooner', () => {
  const { walk, claim } = walkOf();
  claim(20, '5');
  const meanwhile = walk.next(undefined);
  walk.ended(undefined, null, { monotonic: 0, wall: 0 }, null);
  expect(walk.rest).toBe(Infinity);
  walk.ended(undefined, meanwhile, { monotonic: 20, wall: 20 }, position('6'));
  expect(walk.rest).toBe(Infinity);
  expect(claim(20, '7')).toBeNull();
});

test('each tenant is walked for itself', () => {
  const { claim } = walkOf();
  claim(20, '5', 'a');
  expect(claim(20, '6', 'b')).toBeNull();
  expect(claim(1, '7', 'b')).toEqual(position('6'));
  expect(claim(20, '7')).toBeNull();
  expect(claim(1, '8', 'a')).toBeNull();
});
