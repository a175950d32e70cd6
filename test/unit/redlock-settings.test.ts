import fc from 'fast-check';
import { expect, test } from 'vitest';
import { marginOf } from '../../src/core/handle.ts';
import {
  patienceOf,
  readResources,
  readSettings,
  retryDelayOf,
  termOf,
  validityOf,
} from '../../src/redlock/settings.ts';

const settings = readSettings(undefined);
const durations = fc.integer({ min: 1, max: 2_000_000_000 });

test('a lease is believed in for as long as its lock is valid, and not much longer held on the server', () => {
  fc.assert(
    fc.property(durations, (duration) => {
      const validity = validityOf(duration, settings);
      const term = termOf(validity);
      expect(term - marginOf(term)).toBeGreaterThanOrEqual(validity);
      // Two digits round up by a tenth at the most, on top of the margin.
      expect(term).toBeLessThanOrEqual(Math.max(70, validity * 1.23));
    }),
  );
});

test('a lock is valid for its duration without the drift', () => {
  expect(validityOf(10_000, settings)).toBe(9_898);
  expect(validityOf(1_000, readSettings({ driftFactor: 0.1 }))).toBe(898);
});

test('a server has no more time for its vote than the lock is valid, and of several never the most of it', () => {
  fc.assert(
    fc.property(durations, (duration) => {
      expect(patienceOf(duration, 1)).toBe(duration);
      expect(patienceOf(duration, 3)).toBeLessThanOrEqual(Math.min(duration, 2_000));
    }),
  );
});

test('the delay is within its jitter and never negative', () => {
  for (let count = 0; count < 1_000; count += 1) {
    const delay = retryDelayOf(readSettings({ retryDelay: 50, retryJitter: 100 }));
    expect(delay).toBeGreaterThanOrEqual(0);
    expect(delay).toBeLessThanOrEqual(150);
  }
});

test('settings of a call come over those of the object, and over the defaults', () => {
  const own = readSettings({ retryCount: 3, retryDelay: 7 }, undefined);
  expect(readSettings({ retryCount: 0, retryDelay: undefined as never }, own)).toEqual({
    ...settings,
    retryCount: 0,
    retryDelay: 7,
  });
});

test('resources are taken in one order, each once', () => {
  expect(readResources(['b', 'a', 'b'])).toEqual(['a', 'b']);
  expect(readResources('a')).toEqual(['a']);
});
