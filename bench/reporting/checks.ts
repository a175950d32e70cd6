import type { Report } from './report.ts';
import { figureOf, summary, tableOf } from './statistics.ts';

/** Something that is meant to hold. `value` is not there when it was not measured. */
export interface Check {
  readonly promise: string;
  readonly wanted: number;
  readonly at: 'least' | 'most';
  readonly value: number | undefined;
}

export function holds({ wanted, at, value }: Check): boolean | undefined {
  if (value === undefined) return undefined;
  return at === 'least' ? value >= wanted : value <= wanted;
}

/** What the report has to show. */
export function checksOf(report: Report): Check[] {
  const ratio = (id: string, ours: string, theirs: string, point: string): number | undefined => {
    const table = tableOf(report, id);
    const [mine, other] = [figureOf(table, ours, point), figureOf(table, theirs, point)];
    if (mine === undefined || other === undefined) return undefined;
    return table?.better === 'less' ? other / mine : mine / other;
  };
  const check = (promise: string, wanted: number, value: number | undefined): Check => ({
    promise,
    wanted,
    at: 'least',
    value,
  });
  const [sessions, leases] = ['fencepost session locks', 'fencepost leases'];
  return [
    check(
      'session locks, 256 callers, over redlock 5 on Redis without persistence',
      5,
      ratio('locks', sessions, 'redlock 5', '256'),
    ),
    check(
      'leases, 256 callers, over redlock 5 on Redis without persistence',
      1.2,
      ratio('locks', leases, 'redlock 5', '256'),
    ),
    check('leases, 256 callers, over verrou on Postgres', 10, ratio('locks', leases, 'verrou', '256')),
    ...['1', '4'].map((processes) =>
      check(
        `hand-over of leases, median, 2 waiters, ${processes} process${processes === '1' ? '' : 'es'}, over redlock 5 with its defaults`,
        20,
        ratio(`hand-over-p50-${processes}`, leases, 'redlock 5', '2'),
      ),
    ),
    ...['2', '16', '128'].map(
      (waiters): Check => ({
        promise: `hand-over of leases, median, ${waiters} waiters, 4 processes, over a notification and a statement`,
        wanted: 3,
        at: 'most',
        value: inverse(ratio('hand-over-p50-4', leases, 'notify', waiters)),
      }),
    ),
    ...['1', '4'].flatMap((processes) => {
      const over = (name: string): number | undefined => ratio('claims', 'fencepost claims', name, processes);
      const graphile = [over('graphile-worker'), over('graphile-worker, localQueue')].filter(
        (value) => value !== undefined,
      );
      const where = `${processes} process${processes === '1' ? '' : 'es'}`;
      return [
        check(
          `claims, ${where}, over the best of graphile-worker`,
          2.5,
          graphile.length === 0 ? undefined : Math.min(...graphile),
        ),
        check(`claims, ${where}, over pg-boss in batches`, 5, over('pg-boss')),
      ];
    }),
    ...limits(report),
  ];
}

function inverse(value: number | undefined): number | undefined {
  return value === undefined ? undefined : 1 / value;
}

/** Each row of ours next to its bare statements. */
function limits(report: Report): Check[] {
  const pairs = [
    ['locks', 'fencepost session locks', 'limit of session locks'],
    ['locks', 'fencepost leases', 'limit of leases'],
    ['locks', 'fencepost transaction locks', 'limit of transaction locks'],
    ['claims', 'fencepost claims', 'limit of claims'],
    ['hand-over-p50-1', 'fencepost leases', 'limit of leases'],
    ['hand-over-p50-4', 'fencepost leases', 'limit of leases'],
  ] as const;
  return pairs.flatMap(([id, ours, limit]) => {
    const table = tableOf(report, id);
    const points = table?.points ?? [];
    const rows = [ours, limit].map((name) => table?.sides.find((side) => side.name === name));
    return points.flatMap((point, place): Check[] => {
      const [mine, bare] = rows.map((row) => summary(row?.figures[place])?.median);
      if (mine === undefined || bare === undefined || table === undefined) return [];
      const share = table.better === 'more' ? mine / bare : bare / mine;
      const what = `${ours}, ${table.title.toLowerCase()}, ${point} ${table.across}`;
      const checks: Check[] = [
        { promise: `${what}: share of the limit`, wanted: 0.7, at: 'least', value: share },
      ];
      if (id === 'locks' && point === '1')
        checks.push({
          promise: `${what}: time over that of the bare statements`,
          wanted: 1.3,
          at: 'most',
          value: 1 / share,
        });
      return checks;
    });
  });
}
