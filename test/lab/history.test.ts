import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Acquisition,
  type Completion,
  checkHistory,
  type History,
  promises,
  refutationText,
} from './history.ts';

const nothing: History = { acquisitions: [], writes: [], completions: [] };

/** A history as it should be: each is asked for, told, written under, and given back before the next one is told. */
function goodHistory(count: number, { keys = 1, slots = 1 } = {}): History {
  const acquisitions: Acquisition[] = [];
  for (let index = 0; index < count; index += 1) {
    const [asked, told, ended] = [10 * index, 10 * index + 5, 10 * index + 9 + 10 * (keys * slots - 1)];
    const place = index % (keys * slots);
    const [key, slot] = [`key ${Math.floor(place / slots)}`, place % slots];
    acquisitions.push({
      key,
      slot,
      token: BigInt(index + 1),
      client: `client ${index % 3}`,
      asked,
      told,
      ended,
    });
  }
  return {
    acquisitions,
    writes: acquisitions.map(({ key, slot, token }) => ({ key, slot, token })),
    completions: acquisitions.map(({ token }) => ({ key: `job ${token}`, token })),
  };
}

test('a history in order is accepted, whatever order it comes in', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 1, max: 4 }),
      fc.infiniteStream(fc.nat()),
      (count, keys, order) => {
        const history = goodHistory(count, { keys, slots: 2 });
        const mixed = history.acquisitions
          .map((entry) => ({ entry, place: order.next().value }))
          .sort((a, b) => a.place - b.place)
          .map(({ entry }) => entry);
        expect(checkHistory({ ...history, acquisitions: mixed }, () => 2)).toEqual([]);
      },
    ),
  );
});

/** Each promise, and how to break it in a good history at some place. */
const breaches: Record<(typeof promises)[number], (history: History, at: number) => History> = {
  'tokens are unique': (history, at) => changed(history, at + 1, ({ token }) => ({ token: token - 1n })),
  'tokens rise in the order of real time': ({ acquisitions, ...rest }, at) => {
    const [a, b] = [acquisitions[at], acquisitions[at + 1]] as [Acquisition, Acquisition];
    return {
      ...rest,
      acquisitions: acquisitions.with(at, { ...a, token: b.token }).with(at + 1, { ...b, token: a.token }),
    };
  },
  'one holder at a time': (history, at) => changed(history, at, ({ ended = 0 }) => ({ ended: ended + 7 })),
  'no write is accepted after a newer one': ({ writes, ...rest }, at) => ({
    ...rest,
    writes: [
      ...writes.slice(0, at),
      ...writes.slice(at + 1, at + 2),
      ...writes.slice(at, at + 1),
      ...writes.slice(at + 2),
    ],
  }),
  'at most as many holders as there are slots': ({ acquisitions, ...rest }, at) => {
    const { key, told, ended, ...grant } = acquisitions[at] as Acquisition;
    const more = [1, 2].map((slot) => ({ ...grant, key, told, ended, slot, token: grant.token + 10_000n }));
    return { ...rest, acquisitions: [...acquisitions, ...more] };
  },
  'at most one completion is accepted': ({ completions, ...rest }, at) => ({
    ...rest,
    completions: [...completions, { ...(completions[at] as Completion) }],
  }),
};

function changed(
  history: History,
  at: number,
  change: (grant: Acquisition) => Partial<Acquisition>,
): History {
  const grant = history.acquisitions[at] as Acquisition;
  return { ...history, acquisitions: history.acquisitions.with(at, { ...grant, ...change(grant) }) };
}

describe.each(promises)('%s', (promise) => {
  const limit = (): number => 2;

  test('a breach is found wherever it is, and what is shown is as short as can be', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 40 }), fc.nat(), (count, place) => {
        const broken = breaches[promise](goodHistory(count), place % (count - 1));
        const found = checkHistory(broken, limit).find((refutation) => refutation.promise === promise);
        expect(found).toBeDefined();
        const { entries = [] } = found ?? {};
        const refuted = (some: readonly unknown[]): boolean =>
          checkHistory(only(broken, some), limit).some((refutation) => refutation.promise === promise);
        expect(refuted(entries)).toBe(true);
        for (const entry of entries) expect(refuted(entries.filter((other) => other !== entry))).toBe(false);
      }),
    );
  });
});

/** What of a history stands in some part of it. */
function only({ acquisitions, writes, completions }: History, some: readonly unknown[]): History {
  const counted = <T>(entries: readonly T[]): T[] => entries.filter((entry) => some.includes(entry));
  return { acquisitions: counted(acquisitions), writes: counted(writes), completions: counted(completions) };
}

test('a holder of whom nobody knows when it stopped, as of a killed one, refutes nothing', () => {
  const history = changed(goodHistory(5), 2, () => ({ ended: undefined }));
  expect(checkHistory(history, () => 1)).toEqual([]);
});

test('different keys and different slots have nothing to do with each other', () => {
  const [grant] = goodHistory(1).acquisitions as [Acquisition];
  const acquisitions = [grant, { ...grant, key: 'other' }, { ...grant, slot: 1 }];
  expect(checkHistory({ ...nothing, acquisitions })).toEqual([]);
});

test('a refutation reads as one line for the promise and one for each entry', () => {
  const [refutation] = checkHistory({
    ...nothing,
    completions: [
      { key: 'job', token: 1n },
      { key: 'job', token: 2n },
    ],
  });
  expect(refutation && refutationText(refutation)).toBe(
    'broken: at most one completion is accepted\n  key job, token 1\n  key job, token 2',
  );
});

test('a million acquisitions are checked, and one breach among them is found', { timeout: 60_000 }, () => {
  const history = goodHistory(1_000_000, { keys: 20, slots: 5 });
  expect(checkHistory(history, () => 5)).toEqual([]);
  const broken = breaches['no write is accepted after a newer one'](goodHistory(1_000_000), 700_000);
  expect(checkHistory(broken)).toHaveLength(1);
});
