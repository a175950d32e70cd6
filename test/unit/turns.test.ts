import { expect, test } from 'vitest';
import { Turns } from '../../src/advisory/turns.ts';
import { ManualClock } from '../support/clock.ts';

const key = '1';

test('who gives up a place in the line lets those behind it move up', async () => {
  const clock = new ManualClock();
  const turns = new Turns(clock);
  expect(turns.enter(key, true)).toBe(true);
  const exclusive = turns.wait(key, false, 100, undefined);
  const shared = turns.wait(key, true, Infinity, undefined);
  expect(turns.enter(key, true)).toBe(false);
  clock.pass(100);
  expect(await exclusive).toBe(false);
  expect(await shared).toBe(true);
  turns.leave(key);
  turns.leave(key);
  expect(turns.size).toBe(0);
});

test('a signal that has aborted already is noticed, whether the key is free or not', async () => {
  const turns = new Turns(new ManualClock());
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(turns.wait(key, false, Infinity, signal)).rejects.toThrow('enough');
  expect(turns.size).toBe(0);
  expect(turns.enter(key, false)).toBe(true);
  await expect(turns.wait(key, false, Infinity, signal)).rejects.toThrow('enough');
  turns.leave(key);
  expect(turns.size).toBe(0);
});

test('an abort in the line gives the place up, one after the turn has begun changes nothing', async () => {
  const turns = new Turns(new ManualClock());
  const controller = new AbortController();
  expect(turns.enter(key, false)).toBe(true);
  const first = turns.wait(key, false, Infinity, controller.signal);
  const second = turns.wait(key, false, Infinity, undefined);
  controller.abort(new Error('enough'));
  await expect(first).rejects.toThrow('enough');
  turns.leave(key);
  expect(await second).toBe(true);
  const late = new AbortController();
  const third = turns.wait(key, false, Infinity, late.signal);
  turns.leave(key);
  expect(await third).toBe(true);
  late.abort(new Error('too late'));
  expect(turns.enter(key, false)).toBe(false);
  turns.leave(key);
  expect(turns.size).toBe(0);
});

test('shared turns run together, and those that come later do not overtake an exclusive one', async () => {
  const turns = new Turns(new ManualClock());
  expect([turns.enter(key, true), turns.enter(key, true)]).toEqual([true, true]);
  const begun: string[] = [];
  const exclusive = turns.wait(key, false, Infinity, undefined).then(() => begun.push('exclusive'));
  const shared = turns.wait(key, true, Infinity, undefined).then(() => begun.push('shared'));
  expect(await turns.wait(key, true, 0, undefined)).toBe(false);
  turns.leave(key);
  turns.leave(key);
  await exclusive;
  expect(begun).toEqual(['exclusive']);
  turns.leave(key);
  await shared;
  turns.leave(key);
  expect(turns.size).toBe(0);
});

test('keys that nobody is at any more are forgotten in the end, and those in use are not', () => {
  const turns = new Turns(new ManualClock());
  expect(turns.enter(key, false)).toBe(true);
  for (let other = 2; other < 30_000; other += 1) {
    expect(turns.enter(String(other), false)).toBe(true);
    turns.leave(String(other));
  }
  expect(turns.size).toBe(1);
  expect(turns.enter(key, true)).toBe(false);
  turns.leave(key);
  expect([turns.size, turns.enter(key, true), turns.enter(key, true)]).toEqual([0, true, true]);
});
