import { expect, test } from 'vitest';
import { Turns } from '../../src/advisory/turns.ts';
import { ManualClock } from '../support/clock.ts';

const forEver = { wait: Infinity, signal: undefined };
const key = 1n;

/** The way out of a turn that must be there at once. */
async function taken(turns: Turns, shared = false): Promise<() => void> {
  const leave = await turns.take(key, shared, { wait: 0, signal: undefined });
  if (leave === undefined) throw new Error('the key is taken');
  return leave;
}

test('who gives up a place in the line lets those behind it move up', async () => {
  const clock = new ManualClock();
  const turns = new Turns(clock);
  const leave = await taken(turns, true);
  const exclusive = turns.take(key, false, { wait: 100, signal: undefined });
  const shared = turns.take(key, true, forEver);
  clock.pass(100);
  expect(await exclusive).toBeUndefined();
  (await shared)?.();
  leave();
  expect(turns.size).toBe(0);
});

test('a signal that has aborted already is noticed, whether the key is free or not', async () => {
  const turns = new Turns(new ManualClock());
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(turns.take(key, false, { wait: Infinity, signal })).rejects.toThrow('enough');
  const leave = await taken(turns);
  await expect(turns.take(key, false, { wait: Infinity, signal })).rejects.toThrow('enough');
  leave();
  expect(turns.size).toBe(0);
});

test('a turn that was left does not count twice', async () => {
  const turns = new Turns(new ManualClock());
  const leave = await taken(turns);
  const next = turns.take(key, false, forEver);
  leave();
  leave();
  expect(await turns.take(key, false, { wait: 0, signal: undefined })).toBeUndefined();
  (await next)?.();
  await taken(turns);
});

test('an abort after the turn has begun changes nothing', async () => {
  const turns = new Turns(new ManualClock());
  const controller = new AbortController();
  const leave = await turns.take(key, false, { wait: Infinity, signal: controller.signal });
  controller.abort(new Error('too late'));
  expect(await turns.take(key, false, { wait: 0, signal: undefined })).toBeUndefined();
  leave?.();
  await taken(turns);
});
