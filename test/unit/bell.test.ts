import { expect, test } from 'vitest';
import { Bell } from '../../src/core/bell.ts';
import { ManualClock } from '../support/clock.ts';

const clock = new ManualClock();

test('a ring before anybody waits is kept, and used up by the first who does', async () => {
  const bell = new Bell();
  bell.ring();
  bell.ring();
  await bell.heard(clock, Infinity);
  let heard = false;
  const second = bell.heard(clock, 100).then(() => {
    heard = true;
  });
  await Promise.resolve();
  expect(heard).toBe(false);
  clock.pass(100);
  await second;
});

test('a ring that woke somebody is used up', async () => {
  const bell = new Bell();
  const first = bell.heard(clock, Infinity);
  bell.ring();
  await first;
  const signal = AbortSignal.abort(new Error('not rung'));
  await expect(bell.heard(clock, Infinity, signal)).rejects.toThrow('not rung');
  let heard = false;
  const second = bell.heard(clock, 100).then(() => {
    heard = true;
  });
  await Promise.resolve();
  expect(heard).toBe(false);
  bell.ring();
  await second;
});

test('what was reset is forgotten', async () => {
  const bell = new Bell();
  bell.ring();
  bell.reset();
  const controller = new AbortController();
  const waiting = bell.heard(clock, Infinity, controller.signal);
  controller.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
});
