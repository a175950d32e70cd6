import { Fencepost } from 'fencepost';
import { expect, test } from 'vitest';
import { queued } from '../support/advisory.ts';
import { startCutLink } from '../support/cut-link.ts';
import { tell } from '../support/figures.ts';
import { type Report, startLockProcess } from '../support/lock-process.ts';
import { startOwnServer } from '../support/postmaster.ts';

const own = { fsync: false, postgresFlags: ['-c', 'listen_addresses=*'] };
const key = 'a';
const ttl = 2_000;
const slow = { timeout: 60_000 };
/** Hours, if the server would not see to it. */
const soon = '30s';

test('a holder that is cut off stops to believe at its deadline, and the server frees its lock within the ttl', {
  ...slow,
  tags: ['F19', 'F21'],
}, async () => {
  await using server = await startOwnServer(own);
  await using link = await startCutLink(server);
  await using holder = startLockProcess({ connection: link.url, key, ttl }, link.launch);
  await holder.next();
  await holder.next();
  await using fencepost = new Fencepost({ connection: server.url });
  const waiting = fencepost.advisory.acquire(key, { wait: soon });
  await queued(server);
  await link.cut();
  const cut = performance.now();
  await using lock = await waiting;
  const freed = performance.now() - cut;
  holder.send({});
  expect(await holder.next<Report>()).toMatchObject({ kind: 'looked', state: 'lost' });
  lock.assertHeld();
  tell({ link: link.how, 'ms until the server freed it': freed.toFixed(0), ttl });
});

test('a grant whose answer is never acknowledged is freed by the server, and its caller does not believe in it', {
  ...slow,
  tags: ['F20'],
}, async () => {
  await using server = await startOwnServer(own);
  await using link = await startCutLink(server);
  await using fencepost = new Fencepost({ connection: server.url });
  const held = await fencepost.advisory.acquire(key);
  await using waiter = startLockProcess({ connection: link.url, key, ttl }, link.launch);
  await queued(server);
  await waiter.next();
  await link.cut();
  await held.release();
  const granted = performance.now();
  await using lock = await fencepost.advisory.acquire(key, { wait: soon });
  tell({ link: link.how, 'ms until the server freed it': (performance.now() - granted).toFixed(0), ttl });
  // It may have been told of nothing yet, or of its own end; never of a grant.
  expect(waiter.waiting).not.toContainEqual({ kind: 'granted' });
  lock.assertHeld();
});
