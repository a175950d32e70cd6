/** @import { ClaimCount } from '../src/dashboard/snapshot.ts' */
import { table } from './table.js';
import { count, element } from './words.js';

/** @typedef {{ table: string, tenant: string | null } & Record<ClaimCount['state'], number>} Line */

/** @param {'claimed' | 'left' | 'waiting' | 'aside'} state @param {string} title */
const state = (state, title) => ({
  title,
  cell: (/** @type {Line} */ line) => (line[state] === 0 ? '' : count(line[state])),
  style: 'number',
});

/** @type {(rows: readonly Line[]) => void} */
const show = table(
  element('claims'),
  'Claims by table, tenant and state',
  'No row of a table is claimed.',
  (line) => JSON.stringify([line.table, line.tenant]),
  [
    { title: 'Table', cell: (line) => line.table },
    { title: 'Tenant', cell: (line) => line.tenant ?? '–' },
    state('claimed', 'Claimed'),
    state('left', 'Left by the dead'),
    state('waiting', 'Waiting for another attempt'),
    state('aside', 'Set aside'),
  ],
);

/** One line for each table and tenant. @param {readonly ClaimCount[]} found */
export function showClaims(found) {
  /** @type {Map<string, Line>} */
  const lines = new Map();
  for (const { table, tenant, state, count } of found) {
    const key = JSON.stringify([table, tenant]);
    const line = lines.get(key) ?? { table, tenant, claimed: 0, left: 0, waiting: 0, aside: 0 };
    line[state] += count;
    lines.set(key, line);
  }
  show([...lines.values()]);
}
