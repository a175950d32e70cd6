import { visible } from './words.js';

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} title
 * @property {(row: Row) => string | HTMLElement} cell
 * @property {string} [style] classes of its cells
 */

/**
 * A table in a place of the page. Rows are known by their key, and changed rather than made anew: so a button keeps the
 * focus, and a selection stays.
 *
 * @template Row
 * @param {HTMLElement} place
 * @param {string} label
 * @param {string} none what is said when there are no rows
 * @param {(row: Row) => string} keyOf
 * @param {readonly Column<Row>[]} columns
 * @param {(row: Row) => string} [styleOf] classes of a row
 * @returns {(rows: readonly Row[]) => void}
 */
export function table(place, label, none, keyOf, columns, styleOf = () => '') {
  const grid = document.createElement('table');
  grid.setAttribute('aria-label', label);
  const head = grid.createTHead().insertRow();
  for (const { title, style = '' } of columns) {
    const cell = document.createElement('th');
    cell.scope = 'col';
    cell.className = style;
    cell.textContent = title;
    head.append(cell);
  }
  const body = grid.createTBody();
  const empty = document.createElement('p');
  empty.className = 'empty';
  empty.textContent = none;
  scrollable(place, label);
  /** @type {Map<string, HTMLTableRowElement>} */
  const known = new Map();
  return (rows) => {
    const left = new Set(known.keys());
    rows.forEach((row, index) => {
      const key = keyOf(row);
      left.delete(key);
      let line = known.get(key);
      if (line === undefined) {
        line = document.createElement('tr');
        for (const { style = '' } of columns) line.insertCell().className = style;
        known.set(key, line);
      }
      line.className = styleOf(row);
      columns.forEach(({ cell }, place) => {
        fill(/** @type {HTMLTableCellElement} */ (line.cells[place]), cell(row));
      });
      if (body.rows[index] !== line) body.insertBefore(line, body.rows[index] ?? null);
    });
    for (const key of left) {
      known.get(key)?.remove();
      known.delete(key);
    }
    const shown = rows.length === 0 ? empty : grid;
    if (place.firstChild !== shown) place.replaceChildren(shown);
  };
}

/** @param {HTMLTableCellElement} cell @param {string | HTMLElement} content */
function fill(cell, content) {
  if (typeof content === 'string') {
    const text = visible(content);
    if (cell.textContent !== text || cell.firstElementChild !== null) cell.textContent = text;
  } else if (cell.firstElementChild?.outerHTML !== content.outerHTML) {
    cell.replaceChildren(content);
  }
}

/** What scrolls has to be reached by the keyboard, and then has to have a name. @param {HTMLElement} place @param {string} label */
export function scrollable(place, label) {
  place.tabIndex = 0;
  place.setAttribute('role', 'group');
  place.setAttribute('aria-label', label);
}
