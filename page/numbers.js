/** @import { Snapshot } from '../src/dashboard/snapshot.ts' */
import { count, counted, element, rate } from './words.js';

/** @typedef {{ title: string, of: (snapshot: Snapshot) => { value: string, more?: string, bad?: boolean } }} Tile */

/** @type {Tile[]} */
const tiles = [
  {
    title: 'Leases held',
    of: ({ numbers: { found }, counts }) => ({
      value: found ? count(found.leases_held) : '–',
      more: counts.found
        ? `${counted(counts.found.tenants, 'tenant')}, ${counted(counts.found.families, 'family', 'families')}`
        : '',
    }),
  },
  {
    title: 'Waiting',
    of: ({ waits: { found }, numbers }) => ({
      value: found ? count(found.total) : '–',
      more: numbers.found ? `${count(numbers.found.tickets)} in line for leases` : '',
    }),
  },
  {
    title: 'Locks held',
    of: ({ locks: { found } }) => ({
      value: found ? count(found.held) : '–',
      more: found ? `${count(found.waiting)} waiting` : '',
    }),
  },
  {
    title: 'Processes',
    of: ({ numbers: { found } }) => ({
      value: found ? count(found.holders_alive) : '–',
      more: found && found.holders_expired > 0 ? `${count(found.holders_expired)} expired` : 'alive',
    }),
  },
  {
    title: 'Grants a second',
    of: ({ point }) => ({
      value: point.grants === null ? '–' : rate(point.grants),
      more: 'leases and session tokens',
    }),
  },
  {
    title: 'Lost processes',
    of: ({ lost }) => ({ value: count(lost), more: 'since the dashboard looks', bad: lost > 0 }),
  },
];

const shown = tiles.map(({ title, of }) => {
  const tile = document.createElement('div');
  const term = document.createElement('dt');
  const value = document.createElement('dd');
  const text = document.createElement('span');
  const more = document.createElement('small');
  term.textContent = title;
  text.textContent = '–';
  value.append(text, more);
  tile.append(term, value);
  element('numbers').append(tile);
  return { tile, text, more, of };
});

/** @param {Snapshot} snapshot */
export function showNumbers(snapshot) {
  for (const { tile, text, more, of } of shown) {
    const said = of(snapshot);
    text.textContent = said.value;
    more.textContent = said.more ?? '';
    tile.classList.toggle('bad', said.bad === true);
  }
}
