import { expect, test } from 'vitest';
import type { Clock } from '../../src/core/clock.ts';
import { StoppableClock } from '../../src/core/stoppable-clock.ts';

test('stopped it shows one time and runs no timer; going on it runs what was due, and nothing that was cancelled', () => {
  let now = 0;
  const timers: (() => void)[] = [];
  const inner: Clock = {
    now: () => ({ monotonic: now, wall: now }),
    after(_, callback) {
      timers.push(callback);
      return () => timers.splice(timers.indexOf(callback), 1);
    },
  };
  const clock = new StoppableClock(inner);
  const ran: string[] = [];
  const cancel = clock.after(1, () => ran.push('cancelled'));
  clock.after(1, () => ran.push('due'));
  clock.after(1, () => ran.push('as well'));
  clock.stop();
  now = 10;
  clock.stop();
  for (const timer of [...timers]) timer();
  cancel();
  expect([clock.now().wall, clock.stopped, ran]).toEqual([0, true, []]);
  clock.goOn();
  clock.goOn();
  expect([clock.now().wall, clock.stopped, ran]).toEqual([10, false, ['due', 'as well']]);
});
