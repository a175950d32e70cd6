import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Fencepost, LockLostError, type Term } from 'fencepost';
import { expect, test } from 'vitest';
import { type Child, startChild } from '../support/child.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { tell } from '../support/figures.ts';
import { startOwnServer } from '../support/postmaster.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';
import type { ElectionNews, ElectionProcessArgument } from './election-process.ts';

const electionProcess = new URL('./election-process.ts', import.meta.url);
const start = (argument: ElectionProcessArgument) => startChild(electionProcess, argument);

async function startWriters(database: TestDatabase, count: number, ttl: number): Promise<Writers> {
  await database.query('create table public.written (id bigint generated always as identity, token bigint)');
  const argument = { url: database.url, leaseUrl: database.url, key: 'a', ttl };
  const children = Array.from({ length: count }, () => start(argument));
  return Object.assign(children, {
    [Symbol.asyncDispose]: async () =>
      void (await Promise.all(children.map((child) => child[Symbol.asyncDispose]()))),
  });
}

type Writers = AsyncDisposable & Child[];

/** Writes of an old term after those of a newer one. Guards and takeovers exclude each other, so ids have their order. */
const overtaken = (database: TestDatabase): Promise<unknown[]> =>
  database.query(
    'select * from (select token, lag(token) over (order by id) as before from public.written) w where token < before',
  );

const writesOf = async (database: TestDatabase, token: string): Promise<number> =>
  (await database.query('select from public.written where token = $1', [token])).length;

/** Freezes a writer between two writes: a guarding transaction that is open would keep the others out, as it should. */
async function freeze(database: TestDatabase, child: Child): Promise<void> {
  await until('it is frozen between two writes', async () => {
    child.signal('SIGSTOP');
    for (;;) {
      // What it has just sent may still be on its way.
      await delay(10);
      const [row] = await database.query<{ state: string }>(
        'select state from pg_stat_activity where application_name = $1',
        [`writer ${child.process.pid}`],
      );
      if (row?.state === 'idle') return true;
      if (row?.state !== 'active') break;
    }
    child.signal('SIGCONT');
    return false;
  });
}

/** The first of them that says that it leads. */
async function leaderOf(children: readonly Child[]): Promise<{ leader: Child; token: string }> {
  return until('a leader', () => {
    for (const leader of children) {
      const index = leader.waiting.findIndex((news) => (news as ElectionNews).what === 'leads');
      if (index === -1) continue;
      const [news] = (leader.waiting as ElectionNews[]).splice(0, index + 1).slice(-1);
      return { leader, token: news?.token ?? '' };
    }
    return undefined;
  });
}

test('when the leader is killed another process leads within the ttl, again and again, and one at a time writes', {
  tags: ['F01'],
}, async () => {
  await using database = await createDatabase();
  await using children = await startWriters(database, 3, 2_000);
  let left: Child[] = children;
  let newest = 0n;
  for (const last of [false, false, true]) {
    const { leader, token } = await leaderOf(left);
    expect(BigInt(token) > newest).toBe(true);
    newest = BigInt(token);
    await until('its writes', async () => (await writesOf(database, token)) > 5);
    left = left.filter((child) => child !== leader);
    const killed = performance.now();
    leader.signal('SIGKILL');
    await leader.ended;
    if (last) break;
    await until('the next leader', () => left.some((child) => child.waiting.length > 0));
    tell({ ttl: 2_000, 'ms until the next one led': Math.round(performance.now() - killed) });
  }
  expect(await overtaken(database)).toEqual([]);
});

test('a leader that is frozen is replaced, is refused when it wakes, and can be elected again', {
  tags: ['F04'],
}, async () => {
  await using database = await createDatabase();
  await using children = await startWriters(database, 2, 2_000);
  for (let round = 0; round < 3; round += 1) {
    const { leader, token } = await leaderOf(children);
    const other = children.find((child) => child !== leader) as Child;
    await until('its writes', async () => (await writesOf(database, token)) > 5);
    await freeze(database, leader);
    const next = await leaderOf([other]);
    expect(BigInt(next.token) > BigInt(token)).toBe(true);
    await until('writes of the next', async () => (await writesOf(database, next.token)) > 5);
    const before = await writesOf(database, token);
    leader.signal('SIGCONT');
    expect(await leader.next<ElectionNews>()).toEqual({
      what: 'ended',
      token,
      why: 'STALE_TOKEN LOCK_LOST',
    });
    expect(await writesOf(database, token)).toBe(before);
    // The one that woke is the only other candidate.
    await freeze(database, other);
    const third = await leaderOf([leader]);
    other.signal('SIGCONT');
    expect(await other.next<ElectionNews>()).toMatchObject({ what: 'ended', token: next.token });
    (leader.waiting as ElectionNews[]).unshift({ what: 'leads', token: third.token });
  }
  expect(await overtaken(database)).toEqual([]);
});

test('whichever of its sessions the server ends, a leader goes on, and observers hear of nobody else', {
  tags: ['F09'],
}, async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  const controller = new AbortController();
  const { signal } = controller;
  const terms: Term[] = [];
  const campaign = fencepost.elections.campaign('a', { ttl: '5s', signal }, async (term) => {
    terms.push(term);
    await once(term.signal, 'abort');
  });
  await until('it leads', () => terms.length > 0);
  const seen: unknown[] = [];
  const observing = (async () => {
    for await (const leader of fencepost.elections.observe('a', { poll: '10ms', signal }))
      seen.push(leader?.token);
  })();
  await until('the first look', () => seen.length > 0);
  for (let round = 0; round < 10; round += 1) {
    await database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'fencepost'`,
    );
    await delay(30);
  }
  expect(terms[0]?.signal.aborted).toBe(false);
  controller.abort();
  await Promise.all([campaign, observing]);
  expect([terms.length, seen]).toEqual([1, [terms[0]?.token]]);
});

test('candidates whose sessions are ended go on standing', { tags: ['F10'] }, async () => {
  await using database = await createDatabase();
  await using one = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  const lease = await one.leases.acquire('a');
  const controller = new AbortController();
  let led = 0n;
  const campaign = other.elections.campaign('a', { signal: controller.signal }, async ({ token }) => {
    led = token;
    controller.abort();
  });
  for (let round = 0; round < 5; round += 1) {
    await delay(50);
    await database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name = 'fencepost'`,
    );
  }
  await lease.release();
  await campaign;
  expect(led > lease.token).toBe(true);
});

test('a restart of the server that is longer than the ttl ends the term; the next one follows by itself', {
  tags: ['F15'],
}, async () => {
  await using server = await startOwnServer({ fsync: false });
  await using fencepost = new Fencepost({ connection: server.url });
  const controller = new AbortController();
  const { signal } = controller;
  const terms: Term[] = [];
  const campaign = fencepost.elections.campaign('a', { ttl: '60ms', signal }, async (term) => {
    terms.push(term);
    await once(term.signal, 'abort');
  });
  await until('it leads', () => terms.length > 0);
  const before = terms.length;
  const reached = terms.at(-1)?.token ?? 0n;
  await server.restart('immediate');
  await until('it leads again', () => terms.length > before && terms.at(-1)?.state === 'held');
  expect(terms[before - 1]?.signal.reason).toBeInstanceOf(LockLostError);
  const tokens = terms.map(({ token }) => token);
  expect((tokens.at(-1) ?? 0n) > reached).toBe(true);
  expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => (a < b ? -1 : 1)));
  controller.abort();
  await campaign;
});

test('a process that has nothing but its campaign lives through an outage, without a busy loop', async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  await using child = start({ leaseUrl: proxy.url, key: 'a', ttl: 300 });
  const before = await child.next<ElectionNews>();
  expect(before.what).toBe('leads');
  // Connections are made and lost at once: nothing that waits for an answer keeps the process alive.
  proxy.tap = () => 'cut';
  proxy.cut();
  expect(await child.next<ElectionNews>()).toMatchObject({ what: 'ended', token: before.token });
  const { opened } = proxy;
  const started = performance.now();
  await until('some tries', () => proxy.opened > opened + 10);
  // Pauses of 100 ms at most, which is a third of the ttl, and half of that at least; one try opens two.
  expect(proxy.opened - opened).toBeLessThan(2 * (1 + (performance.now() - started) / 50));
  expect(child.process.exitCode).toBeNull();
  proxy.tap = () => 'pass';
  const after = await child.next<ElectionNews>();
  expect(after.what).toBe('leads');
  expect(BigInt(after.token ?? 0) > BigInt(before.token ?? 0)).toBe(true);
});

test('a leader that is cut off, and is not told, stops before the next one leads, and stands again', {
  tags: ['F21'],
}, async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  await using cutOff = new Fencepost({ connection: proxy.url });
  await using other = new Fencepost({ connection: database.url });
  const events: string[] = [];
  const stand = (fencepost: Fencepost, who: string) => {
    const controller = new AbortController();
    const { signal } = controller;
    const outcome = fencepost.elections.campaign('a', { ttl: '1500ms', signal }, async (term) => {
      events.push(`${who} leads`);
      await once(term.signal, 'abort');
      events.push(`${who} ${signal.aborted ? 'was called off' : term.state}`);
    });
    return { outcome, off: () => controller.abort() };
  };
  const one = stand(cutOff, 'one');
  await until('one leads', () => events.length === 1);
  const two = stand(other, 'two');
  proxy.freeze();
  await until('two leads', () => events.includes('two leads'));
  expect(events).toEqual(['one leads', 'one lost', 'two leads']);
  proxy.thaw();
  await delay(200);
  two.off();
  await two.outcome;
  await until('one leads again', () => events.length === 5);
  proxy.freeze();
  await until('one knows', () => events.length === 6);
  // Nothing answers, and it ends all the same: before anything that was asked is given up.
  one.off();
  await one.outcome;
  expect(proxy.links.size).toBeGreaterThan(0);
  expect(events.slice(3)).toEqual(['two was called off', 'one leads', 'one lost']);
  proxy.thaw();
});

test('an observer that is cut off says nothing, and then what has changed', async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  await using one = new Fencepost({ connection: database.url });
  await using cutOff = new Fencepost({ connection: proxy.url });
  const controller = new AbortController();
  const { signal } = controller;
  const lease = await one.leases.acquire('a');
  const seen: (bigint | undefined)[] = [];
  const observing = (async () => {
    for await (const leader of cutOff.elections.observe('a', { poll: '20ms', signal }))
      seen.push(leader?.token);
  })();
  await until('the first look', () => seen.length > 0);
  proxy.tap = () => 'cut';
  proxy.cut();
  const opened = proxy.opened;
  await lease.release();
  await until('some looks that fail', () => proxy.opened > opened + 5);
  const next = await one.leases.acquire('a');
  expect(seen).toEqual([lease.token]);
  proxy.tap = () => 'pass';
  await until('the next leader', () => seen.length > 1);
  await next.release();
  await until('nobody', () => seen.length > 2);
  expect(seen).toEqual([lease.token, next.token, undefined]);
  controller.abort();
  await observing;
});

test('an observer ends at once when it is cut off and nobody tells it', async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  await using fencepost = new Fencepost({ connection: proxy.url });
  const controller = new AbortController();
  const observer = fencepost.elections
    .observe('a', { poll: '10ms', signal: controller.signal })
    [Symbol.asyncIterator]();
  expect(await observer.next()).toMatchObject({ value: null });
  proxy.freeze();
  const change = observer.next();
  await delay(50);
  controller.abort();
  expect(await change).toMatchObject({ done: true });
  // The connection that it asked on is still there: nobody has waited for its answer.
  expect(proxy.links.size).toBeGreaterThan(0);
});
