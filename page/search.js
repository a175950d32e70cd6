/** @import { LeasePage, ShownLease } from '../src/dashboard/snapshot.ts' */
import { revokeCell } from './revoke.js';
import { table } from './table.js';
import { counted, element, named, time } from './words.js';

const form = /** @type {HTMLFormElement} */ (element('search'));
const note = element('search-note');
const previous = /** @type {HTMLButtonElement} */ (element('previous'));
const next = /** @type {HTMLButtonElement} */ (element('next'));
const limit = 50;

/** Where the pages began that were seen, the present one last; null is the beginning. @type {(string | null)[]} */
let trail = [null];
/** @type {string | null} */
let following = null;
let asking = new AbortController();

/** @type {(rows: readonly ShownLease[]) => void} */
const show = table(element('found'), 'Leases that were found', 'No held lease is like that.', leaseKey, [
  { title: 'Tenant', cell: ({ tenant }) => named(tenant, '–') },
  { title: 'Name', cell: ({ name }) => name, style: 'name' },
  { title: 'Slot', cell: ({ slot }) => String(slot), style: 'number' },
  { title: 'Token', cell: ({ token }) => token, style: 'number' },
  { title: 'Held by', cell: ({ application }) => named(application, '–') },
  { title: 'Ends in', cell: ({ left }) => time(left), style: 'number' },
  { title: '', cell: revokeCell, style: 'number' },
]);

/** @param {ShownLease} lease */
export function leaseKey({ tenant, name, slot }) {
  return JSON.stringify([tenant, name, slot]);
}

/** Asks again for the page that is shown. */
export async function find() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const fields = new FormData(form);
  const query = new URLSearchParams({ name: String(fields.get('name')), limit: String(limit) });
  const tenant = String(fields.get('tenant'));
  if (tenant !== '') query.set('tenant', tenant);
  const after = trail.at(-1);
  if (typeof after === 'string') query.set('after', after);
  try {
    const response = await fetch(`/api/leases?${query}`, { signal });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    const { leases, next: more } = /** @type {LeasePage} */ (answer);
    show(leases);
    following = more;
    previous.disabled = trail.length === 1;
    next.disabled = more === null;
    const first = (trail.length - 1) * limit;
    note.textContent =
      leases.length === 0
        ? ''
        : `${first + 1} to ${first + leases.length}${more === null ? ` of ${counted(first + leases.length, 'lease')}` : ', and there are more'}. As of ${new Date().toLocaleTimeString('en-GB')}.`;
  } catch (error) {
    if (!signal.aborted)
      note.textContent = `Not found out: ${error instanceof Error ? error.message : error}`;
  }
}

/** @param {(string | null)[]} pages */
function turn(pages) {
  trail = pages;
  return find();
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void turn([null]);
});
previous.addEventListener('click', () => turn(trail.slice(0, -1)));
next.addEventListener('click', () => turn([...trail, following]));
