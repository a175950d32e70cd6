/** @import { ShownLease } from '../src/dashboard/snapshot.ts' */
import { element, named, visible } from './words.js';

const dialog = /** @type {HTMLDialogElement} */ (element('revoke'));
const grace = /** @type {HTMLSelectElement} */ (element('revoke-grace'));
const button = /** @type {HTMLButtonElement} */ (element('revoke-do'));
const failure = element('revoke-failure');

/** The token of the dashboard stands behind the # of its address. It is taken out of sight, and lasts as long as the tab. */
const kept = 'fencepost-token';
const given = new URLSearchParams(location.hash.slice(1)).get('token');
if (given !== null) {
  sessionStorage.setItem(kept, given);
  history.replaceState(null, '', location.pathname);
}

/** @type {ShownLease | undefined} */
let asked;
let revocable = false;
/** @type {(message: string) => void} */
let told = () => {};

/** @param {boolean} allowed by the dashboard @param {(message: string) => void} tell says what came of it */
export function allowRevoking(allowed, tell) {
  revocable = allowed && sessionStorage.getItem(kept) !== null;
  told = tell;
}

/** What stands in the last column of leases. @param {ShownLease} lease */
export function revokeCell(lease) {
  if (lease.revoked) return 'revoked';
  if (!revocable) return '';
  const made = document.createElement('button');
  made.type = 'button';
  made.className = 'danger';
  made.textContent = 'Revoke…';
  made.setAttribute('aria-label', `Revoke ${visible(lease.name)}, token ${lease.token}`);
  made.dataset.lease = JSON.stringify(lease, ['tenant', 'name', 'slot', 'token', 'application']);
  return made;
}

// One listener for all buttons: those of a table come and go.
document.addEventListener('click', ({ target }) => {
  const lease = target instanceof HTMLElement ? target.dataset.lease : undefined;
  if (lease !== undefined) ask(JSON.parse(lease));
});

/** @param {ShownLease} lease */
function ask(lease) {
  asked = lease;
  failure.textContent = '';
  button.disabled = false;
  const facts = {
    Tenant: named(lease.tenant, '(none)'),
    Name: lease.name,
    Slot: String(lease.slot),
    'Held by': named(lease.application, '(nobody)'),
    Token: lease.token,
  };
  element('revoke-lease').replaceChildren(
    ...Object.entries(facts).flatMap(([title, text]) => {
      const term = document.createElement('dt');
      const value = document.createElement('dd');
      term.textContent = title;
      value.textContent = visible(text);
      return [term, value];
    }),
  );
  dialog.showModal();
}

button.addEventListener('click', async () => {
  const lease = asked;
  if (lease === undefined) return;
  button.disabled = true;
  failure.textContent = '';
  try {
    const { tenant, name, token } = lease;
    const response = await fetch('/api/revoke', {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'X-Fencepost-Token': sessionStorage.getItem(kept) ?? '',
      },
      body: JSON.stringify({ tenant, name, token, grace: grace.value }),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    dialog.close();
    told(
      answer.revoked.length > 0
        ? `${visible(name)} was taken away from ${lease.application}.`
        : `Nothing was taken away: ${visible(name)} has been released or changed hands meanwhile.`,
    );
  } catch (error) {
    failure.textContent = `It was not taken away: ${error instanceof Error ? error.message : error}`;
    button.disabled = false;
  }
});
