import { tableOf, timeOf } from './table.ts';
import type { Look } from './watching.ts';

/** A look as text of at most so many lines: the numbers first, then what fits of each list. */
export function screenOf(look: Look, height: number): string {
  if ('failure' in look) return `no answer: ${look.failure}`;
  const { overview, holders, waiters, locks, locksHeld, locksWaiting, rate, lost } = look;
  const head = [
    `leases   ${overview.leasesHeld} held of ${overview.leasesKnown} known, ${overview.tickets} in line`,
    `locks    ${locksHeld} held, ${locksWaiting} waiting`,
    `holders  ${overview.holdersAlive} alive, ${overview.holdersExpired} expired, ${lost} lost since the first look`,
    `rate     ${rate === undefined ? '-' : rate.toFixed(1)} grants/s`,
  ];
  const lists = [
    listOf(
      ['holder', 'state', 'heartbeat', 'expires in'],
      holders.map(({ application, alive, silent, left }) => {
        return [application, alive ? 'alive' : 'expired', `${timeOf(silent)} ago`, timeOf(left)];
      }),
    ),
    listOf(
      ['waits for', 'mode', 'application', 'waited'],
      waiters.map(({ tenant, name, key, mode, application, waited }) => [
        name === null ? `lock ${key}` : `${tenant === '' ? '' : `${tenant} `}${name}`,
        ...[mode, application ?? 'one or more', waited === null ? '' : timeOf(waited)],
      ]),
    ),
    listOf(
      ['lock', 'mode', 'pid', 'application'],
      locks.map(({ hash, mode, pid, application }) => [hash, mode, pid, application]),
    ),
  ].filter((list) => list.length > 0);
  const room = Math.max(2, Math.floor((height - head.length) / Math.max(1, lists.length)) - 1);
  const cut = lists.map((list) => {
    const more = list.length - room;
    return more <= 0 ? list : [...list.slice(0, room - 1), `and ${more + 1} more`];
  });
  return [...head, ...cut.flatMap((list) => ['', ...list])].slice(0, height).join('\n');
}

function listOf(columns: readonly string[], rows: readonly (readonly unknown[])[]): string[] {
  return rows.length === 0 ? [] : tableOf(columns, rows).split('\n');
}
