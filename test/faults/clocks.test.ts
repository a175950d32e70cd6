// @module-tag F08
import { afterAll, beforeEach, expect, test } from 'vitest';
import type { Holding } from '../../src/core/handle.ts';
import { Holder } from '../../src/holder/holder.ts';
import { FixedTerm } from '../../src/lease/fixed-term.ts';
import { Database } from '../../src/session/database.ts';
import { Link } from '../../src/session/link.ts';
import { ManualClock } from '../support/clock.ts';
import { createDatabase } from '../support/database.ts';
import { type Packet, startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

const ttl = 10_000;
const margin = 1_000;
const database = await createDatabase();
const proxy = await startProxy(database.url);
let clock: ManualClock;
let connections: Database;
afterAll(async () => {
  await connections.close();
  await proxy[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await connections?.close();
  proxy.tap = () => 'pass';
  clock = new ManualClock();
  connections = new Database(proxy.url, 'fencepost', clock);
});

function openHolder(): Promise<Holder> {
  const open = (): ReturnType<Database['open']> => connections.open();
  return Holder.open(
    {
      link: new Link(open, clock),
      open,
      clock,
      schema: 'fencepost',
      application: 'test',
      revoked() {},
      async moved() {},
    },
    ttl,
  );
}

/** Both kinds of tenure, and what they tell of their end. */
const tenures = {
  holder: () => openHolder(),
  'fixed term': async () => new FixedTerm({ clock, renew: async () => true }, await openHolder()),
};

async function watched(kind: keyof typeof tenures) {
  const tenure = await tenures[kind]();
  const losses: string[] = [];
  const holding: Holding = {
    lose(reason) {
      losses.push(reason);
      place.leave(holding);
    },
  };
  const place = tenure.add(holding);
  return { tenure, losses };
}

const kinds = Object.keys(tenures) as (keyof typeof tenures)[];

test.each(kinds)('a %s is trusted until its ttl less the margin, and ends by a timer', async (kind) => {
  const { tenure, losses } = await watched(kind);
  proxy.freeze();
  clock.pass(ttl - margin - 1);
  expect(tenure.remaining()).toBe(1);
  expect(losses).toEqual([]);
  clock.pass(1);
  expect(losses).toEqual(['expired']);
  expect(tenure.remaining()).toBeLessThanOrEqual(0);
  proxy.thaw();
});

test.each(kinds)(
  'a %s is lost when the monotonic clock stood still and the wall clock went on',
  async (kind) => {
    const { tenure, losses } = await watched(kind);
    clock.moveWall(ttl - margin - 1);
    expect(tenure.remaining()).toBe(1);
    clock.moveWall(1);
    expect(tenure.remaining()).toBeLessThanOrEqual(0);
    expect(losses).toEqual(['expired']);
  },
);

test.each(kinds)(
  'a %s is lost when the wall clock was set back and the monotonic clock went on',
  async (kind) => {
    const { tenure, losses } = await watched(kind);
    clock.moveWall(-3_600_000);
    expect(tenure.remaining()).toBe(ttl - margin);
    clock.moveMonotonic(ttl - margin);
    expect(tenure.remaining()).toBeLessThanOrEqual(0);
    expect(losses).toEqual(['expired']);
  },
);

test.each(kinds)('a %s that was lost stays so when the wall clock is set back', async (kind) => {
  const { tenure, losses } = await watched(kind);
  clock.moveWall(3_600_000);
  expect(tenure.remaining()).toBeLessThanOrEqual(0);
  clock.moveWall(-3_600_000);
  expect(tenure.remaining()).toBeLessThanOrEqual(0);
  expect(losses).toEqual(['expired']);
});

const answerTo =
  (name: string) =>
  ({ direction, about }: Packet) =>
    direction === 'answer' && about(name) ? 'freeze' : 'pass';

test('trust counts from when the heartbeat was sent, not from its answer', async () => {
  let answered = false;
  proxy.tap = (packet) => {
    const verdict = answerTo('holder_open')(packet);
    answered ||= verdict === 'freeze';
    return verdict;
  };
  const opening = openHolder();
  await until('the answer to the opening', () => answered);
  clock.pass(2_000);
  proxy.tap = () => 'pass';
  proxy.thaw();
  const holder = await opening;
  expect(holder.remaining()).toBe(ttl - margin - 2_000);

  answered = false;
  proxy.tap = (packet) => {
    const verdict = answerTo('holder_beat')(packet);
    answered ||= verdict === 'freeze';
    return verdict;
  };
  const beating = holder.renew();
  await until('the answer to the heartbeat', () => answered);
  clock.pass(1_500);
  proxy.tap = () => 'pass';
  proxy.thaw();
  await beating;
  expect(holder.remaining()).toBe(ttl - margin - 1_500);
});

test('an answer that comes after the deadline does not bring the holder back, whatever it says', async () => {
  let answered = false;
  const holder = await openHolder();
  proxy.tap = (packet) => {
    const verdict = answerTo('holder_beat')(packet);
    answered ||= verdict === 'freeze';
    return verdict;
  };
  const beating = holder.renew();
  await until('the answer', () => answered);
  clock.moveWall(ttl);
  proxy.tap = () => 'pass';
  proxy.thaw();
  await beating;
  expect(holder.remaining()).toBe(0);
});

test('a process that slept past the deadline sends no heartbeat when it wakes', async () => {
  const holder = await openHolder();
  let beats = 0;
  proxy.tap = ({ direction, about }) => {
    if (direction === 'request' && about('holder_beat')) beats += 1;
    return 'pass';
  };
  clock.moveWall(ttl);
  clock.pass(ttl);
  await database.query('select 1');
  expect(holder.live).toBe(false);
  expect(beats).toBe(0);
});

test('a heartbeat that is answered after the close is the last one', { tags: ['F24'] }, async () => {
  const holder = await openHolder();
  let beats = 0;
  const count = ({ direction, about }: Packet): 'pass' => {
    if (direction === 'request' && about('holder_beat')) beats += 1;
    return 'pass';
  };
  let answered = false;
  proxy.tap = (packet) => {
    count(packet);
    const verdict = answerTo('holder_beat')(packet);
    answered ||= verdict === 'freeze';
    return verdict;
  };
  clock.pass(ttl / 3);
  await until('the answer to the heartbeat', () => answered);
  const closing = holder.close();
  proxy.tap = count;
  proxy.thaw();
  await closing;
  for (let beat = 0; beat < 10; beat += 1) {
    clock.pass(ttl / 3);
    await database.query('select 1');
  }
  expect(beats).toBe(1);
});
