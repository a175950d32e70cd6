import { expect, test } from 'vitest';
import { checksOf, holds } from '../../bench/reporting/checks.ts';
import { filled } from '../../bench/reporting/fill.ts';
import { markdownOf, tableText } from '../../bench/reporting/markdown.ts';
import type { Report, SideRow, Table } from '../../bench/reporting/report.ts';
import { figureOf, numberText, share, summary } from '../../bench/reporting/statistics.ts';

const sides: SideRow[] = [
  { name: 'fencepost session locks', figures: [[900, 1_000, 1_300], [50_000]] },
  { name: 'limit of session locks', limit: true, figures: [[1_250], [200_000]] },
  { name: 'redlock 5', note: 'cannot do more', figures: [[2_000], []] },
];
const locks: Table = {
  id: 'locks',
  title: 'Acquire and release',
  unit: 'pairs a second',
  better: 'more',
  across: 'callers',
  points: ['1', '256'],
  sides,
};
const report: Report = {
  command: 'npm run bench',
  at: '2020-01-01 00:00',
  machine: 'one core',
  versions: ['Node'],
  settings: { 'redlock 5': 'as it comes' },
  works: [
    {
      name: 'locks',
      title: 'Locks',
      about: 'They are locked.',
      command: 'npm run bench -- --only locks',
      at: '2020-01-02 00:00',
      took: 9,
      tables: [locks],
    },
  ],
};

test('a figure is the median of its rounds, with the least and the most', () => {
  expect(summary([1_300, 900, 1_000])).toEqual({ median: 1_000, least: 900, most: 1_300 });
  expect(summary([])).toBeUndefined();
  expect(figureOf(locks, 'redlock 5', '1')).toBe(2_000);
  expect(figureOf(locks, 'redlock 5', '256')).toBeUndefined();
  expect(figureOf(locks, 'redlock 5', '16')).toBeUndefined();
  expect([share(0.5, [3, 1, 2]), share(1, [3, 1, 2]), share(0.5, [])]).toEqual([2, 3, Number.NaN]);
  expect([1_234.5, 12.34, 1.234, 0.1234, Number.NaN].map(numberText)).toEqual([
    '1,235',
    '12.3',
    '1.23',
    '0.123',
    '-',
  ]);
});

test('a table shows what was measured, and nothing where it was not', () => {
  expect(tableText(locks)).toBe(
    [
      '| callers                  | 1                 | 256     |',
      '| ------------------------ | ----------------- | ------- |',
      '| fencepost session locks  | 1,000 (900-1,300) | 50,000  |',
      '| *limit of session locks* | 1,250             | 200,000 |',
      '| redlock 5                | 2,000             | -       |',
    ].join('\n'),
  );
  const page = markdownOf(report);
  expect(page).toContain('Written by `npm run bench`, 2020-01-01 00:00 UTC.');
  expect(page).toContain('Measured by `npm run bench -- --only locks`, 2020-01-02 00:00 UTC, in 9 s.');
  expect(page).toContain('redlock 5: cannot do more.');
  expect(page).toContain('![Acquire and release](report/locks.svg)');
  expect(page).toContain('- **redlock 5**: as it comes.');
});

test('what must hold is said to hold, not to hold, or not to be measured', () => {
  const found = Object.fromEntries(checksOf(report).map((check) => [check.promise, check]));
  const said = (promise: string) => {
    const check = found[promise];
    return check && [check.value, holds(check)];
  };
  expect(said('fencepost session locks, acquire and release, 1 callers: share of the limit')).toEqual([
    0.8,
    true,
  ]);
  expect(said('fencepost session locks, acquire and release, 256 callers: share of the limit')).toEqual([
    0.25,
    false,
  ]);
  expect(
    said('fencepost session locks, acquire and release, 1 callers: time over that of the bare statements'),
  ).toEqual([1.25, true]);
  expect(said('claims, 1 process, over pg-boss in batches')).toEqual([undefined, undefined]);
});

test('a time is better when it is less', () => {
  const times: Table = {
    ...locks,
    id: 'hand-over-p50-4',
    better: 'less',
    points: ['2'],
    sides: [
      { name: 'fencepost leases', figures: [[4]] },
      { name: 'limit of leases', limit: true, figures: [[2]] },
      { name: 'redlock 5', figures: [[100]] },
    ],
  };
  const checks = checksOf({ ...report, works: [{ ...report.works[0], tables: [times] } as never] });
  const values = checks
    .filter(({ value }) => value !== undefined)
    .map((check) => [check.value, holds(check)]);
  expect(values).toEqual([
    [25, true],
    [0.5, false],
  ]);
});

test('figures are put between the markers of a page, again and again', () => {
  const page =
    'before\n<!-- bench: locks -->\nold\n<!-- end -->\n<!-- bench: nothing -->\n<!-- end -->\nafter\n';
  const once = filled(page, report);
  expect(once).toContain('| redlock 5                | 2,000 | -       |');
  expect(once).toContain('Not measured.');
  expect(once).not.toContain('old');
  expect([once.startsWith('before\n'), once.endsWith('after\n')]).toEqual([true, true]);
  expect(filled(once, report)).toBe(once);
});
