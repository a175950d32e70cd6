/** @import { Count, Holder, Hello, Locks, Loss, Part, ShownLease, Snapshot, Waits, Way } from '../src/dashboard/snapshot.ts' */
import { drawChains } from './chains.js';
import { add, begin } from './charts.js';
import { showClaims } from './claims.js';
import { showNumbers } from './numbers.js';
import { allowRevoking, revokeCell } from './revoke.js';
import { find, leaseKey } from './search.js';
import { listen } from './stream.js';
import { scrollable, table } from './table.js';
import { count, element, named, time } from './words.js';

const state = element('state');
const banner = element('banner');

/** @type {Hello | undefined} */
let hello;
/** The newest data, and when it came, by the clock of this page. @type {{ snapshot: Snapshot, came: number } | undefined} */
let latest;
/** @type {{ kind: 'live' | 'trouble' | 'disconnected', text: string }} */
let connection = { kind: 'disconnected', text: '' };

scrollable(element('chains'), 'Who is in whose way');

const nobody = '(not in line)';
/** @type {(rows: readonly Count[]) => void} */
const showTenants = counts('tenants', 'Tenant');
/** @type {(rows: readonly Count[]) => void} */
const showFamilies = counts('families', 'Key family');

/** @param {string} id @param {string} title */
function counts(id, title) {
  /** @type {(rows: readonly Count[]) => void} */
  const show = table(
    element(id),
    `Leases by ${title.toLowerCase()}`,
    'No lease is held.',
    ({ name }) => name,
    [
      { title, cell: ({ name }) => named(name, '(none)') },
      { title: 'Held', cell: ({ held }) => count(held), style: 'number' },
      { title: 'Waited for', cell: ({ wanted }) => (wanted === 0 ? '' : count(wanted)), style: 'number' },
      { title: 'Revoked', cell: ({ revoked }) => (revoked === 0 ? '' : count(revoked)), style: 'number' },
    ],
  );
  return show;
}

/** @param {ShownLease} lease */
const isLate = ({ silent, ttl, left }) => (silent === null || ttl === null ? left < 5_000 : silent > ttl / 2);

/** @type {(rows: readonly ShownLease[]) => void} */
const showSoonest = table(
  element('soonest'),
  'Leases that end first',
  'No lease is held.',
  leaseKey,
  [
    { title: 'Tenant', cell: ({ tenant }) => named(tenant, '–') },
    { title: 'Name', cell: ({ name }) => name, style: 'name' },
    { title: 'Slot', cell: ({ slot }) => String(slot), style: 'number' },
    { title: 'Token', cell: ({ token }) => token, style: 'number' },
    { title: 'Held by', cell: ({ application }) => named(application, '–') },
    {
      title: 'Last heartbeat',
      cell: ({ silent }) => (silent === null ? '' : `${time(silent)} ago`),
      style: 'number',
    },
    { title: 'Ends in', cell: ({ left }) => time(left), style: 'number' },
    { title: '', cell: revokeCell, style: 'number' },
  ],
  (lease) => (isLate(lease) ? 'late' : ''),
);

/** @type {(rows: readonly Way[]) => void} */
const showWays = table(
  element('ways'),
  'Who waits for whom',
  'Nobody waits.',
  ({ kind, who, by }) => JSON.stringify([kind, who, by]),
  [
    { title: 'Waits', cell: ({ who }) => named(who, nobody) },
    { title: 'For', cell: ({ by }) => by },
    { title: 'Kind', cell: ({ kind }) => kind },
    { title: 'How many', cell: ({ count: number }) => count(number), style: 'number' },
    { title: 'One of the keys', cell: ({ name }) => name },
    { title: 'Longest', cell: ({ waited }) => time(waited), style: 'number' },
  ],
);

/** @type {(rows: readonly (Waits['longest'][number] & { place: number })[]) => void} */
const showWaiters = table(
  element('waiters'),
  'Who waits longest',
  'Nobody waits.',
  ({ place }) => String(place),
  [
    {
      title: 'For',
      cell: ({ kind, tenant, name }) => (kind === 'lock' ? `lock ${name}` : `${tenant} ${name}`.trim()),
    },
    { title: 'Mode', cell: ({ mode }) => mode ?? '' },
    {
      title: 'Who',
      cell: ({ application, pid }) => `${named(application, nobody)}${pid === null ? '' : ` #${pid}`}`,
    },
    { title: 'Waited', cell: ({ waited }) => time(waited), style: 'number' },
  ],
);

/** @type {(rows: Locks['keys']) => void} */
const showLocks = table(element('locks'), 'Locks', 'No lock is held.', ({ key }) => key, [
  { title: 'Key', cell: ({ key }) => key },
  { title: 'Mode', cell: ({ mode }) => mode ?? '' },
  {
    title: 'Held by',
    cell: ({ held, application, pid }) =>
      held > 1 ? `${count(held)} sessions` : pid === null ? '' : `${application} #${pid}`,
  },
  { title: 'Waiting', cell: ({ waiting }) => (waiting === 0 ? '' : count(waiting)), style: 'number' },
]);

/** @type {(rows: readonly Holder[]) => void} */
const showHolders = table(
  element('holders'),
  'Processes, those first that expire first',
  'No process holds anything.',
  ({ id }) => id,
  [
    { title: 'Process', cell: ({ application }) => named(application, '–') },
    { title: 'Ttl', cell: ({ ttl }) => time(ttl), style: 'number' },
    { title: 'Last heartbeat', cell: ({ silent }) => `${time(silent)} ago`, style: 'number' },
    {
      title: 'Expires in',
      cell: ({ left }) => (left < 0 ? `expired ${time(-left)} ago` : time(left)),
      style: 'number',
    },
  ],
  ({ alive, silent, ttl }) => (!alive || silent > ttl / 2 ? 'late' : ''),
);

/** @type {(rows: readonly Loss[]) => void} */
const showLosses = table(element('losses'), 'Losses', 'None.', ({ id }) => id, [
  { title: 'When', cell: ({ at }) => new Date(at).toLocaleTimeString('en-GB'), style: 'short' },
  { title: 'Process', cell: ({ application }) => named(application, '–') },
]);

/** @param {Snapshot} snapshot */
function show(snapshot) {
  const { waits, locks, soonest, blocked, counts, claims, holders } = snapshot;
  showNumbers(snapshot);
  add(snapshot.point, waits.found);
  element('waits-note').textContent = waits.found?.unknown
    ? `${count(waits.found.unknown)} more, not in line`
    : '';
  if (blocked.found) {
    drawChains(element('chains'), blocked.found);
    showWays(blocked.found.ways);
  }
  if (counts.found) {
    showTenants(counts.found.byTenant);
    showFamilies(counts.found.byFamily);
  }
  if (soonest.found) showSoonest(soonest.found);
  if (claims.found) showClaims(claims.found);
  if (waits.found) showWaiters(waits.found.longest.map((waiter, place) => ({ ...waiter, place })));
  if (locks.found) showLocks(locks.found.keys);
  if (holders.found) showHolders(holders.found);
  showLosses(snapshot.losses);
}

/** Says how things are, twice a second: also how old what is shown has become. */
function tell() {
  const age = latest === undefined ? undefined : performance.now() - latest.came;
  const old = age === undefined ? '' : ` What is shown is ${time(age)} old.`;
  const late = hello !== undefined && age !== undefined && age > 3 * hello.refresh + 2_000;
  const kind = connection.kind === 'live' && late ? 'trouble' : connection.kind;
  const texts = { live: 'Live', trouble: 'Database does not answer', disconnected: 'Disconnected' };
  const text =
    latest === undefined && kind === 'disconnected' && connection.text === '' ? 'Connecting' : texts[kind];
  const shown = text === 'Connecting' ? 'connecting' : kind;
  if (state.dataset.state !== shown) state.dataset.state = shown;
  if (state.textContent !== text) state.textContent = text;
  document.body.classList.toggle('stale', kind !== 'live');
  banner.hidden = kind === 'live' || text === 'Connecting';
  const reason = connection.text || 'The database has not answered for a while.';
  const said = `${reason}${old}`;
  if (!banner.hidden && banner.textContent !== said) banner.textContent = said;
  tellAges(age ?? 0);
}

/** Which parts were found how long ago, where that is more than a look. @param {number} age */
function tellAges(age) {
  if (latest === undefined || hello === undefined) return;
  const { snapshot } = latest;
  for (const note of document.querySelectorAll('[data-age]')) {
    const part = /** @type {Part<unknown>} */ (
      snapshot[/** @type {keyof Snapshot} */ (note.getAttribute('data-age'))]
    );
    const old = part.at === undefined ? 0 : snapshot.at - part.at + age;
    const text = [
      part.failure === undefined ? '' : `could not look: ${part.failure}`,
      old > 2 * hello.refresh + 500 ? `as of ${time(old)} ago` : '',
    ].filter((one) => one !== '');
    if (note.textContent !== text.join(', ')) note.textContent = text.join(', ');
  }
}

/** Says what came of something, for a while, wherever the page is scrolled to. @param {string} message */
function notice(message) {
  const place = element('notice');
  place.textContent = message;
  setTimeout(() => {
    if (place.textContent === message) place.textContent = '';
  }, 15_000);
}

void listen({
  hello(said) {
    // A newer dashboard has a newer page.
    if (hello !== undefined && hello.version !== said.version) location.reload();
    hello = said;
    element('place').textContent = `schema ${said.schema}, a look every ${time(said.refresh)}`;
    allowRevoking(said.revocable, (message) => {
      notice(message);
      void find();
    });
    begin(said);
    void find();
  },
  snapshot(snapshot) {
    latest = { snapshot, came: performance.now() };
    connection = { kind: 'live', text: '' };
    show(snapshot);
    tell();
  },
  trouble({ failure }) {
    connection = { kind: 'trouble', text: `The database does not answer: ${failure}.` };
    tell();
  },
  gone() {
    connection = {
      kind: 'disconnected',
      text: 'The dashboard does not answer. It is asked again until it does.',
    };
    tell();
  },
});
setInterval(tell, 500);
