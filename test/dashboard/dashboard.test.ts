import { Fencepost } from 'fencepost';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { Dashboard, type DashboardOptions } from '../../src/dashboard/dashboard.ts';
import { plantCrowd } from '../support/crowd.ts';
import { createDatabase } from '../support/database.ts';
import { startOwnServer } from '../support/postmaster.ts';
import { until } from '../support/until.ts';
import { ask, listen } from './client.ts';

vi.setConfig({ testTimeout: 60_000 });

const database = await createDatabase();
const usual = { schema: 'fencepost', host: '127.0.0.1', port: 0, refresh: 100, share: 1, version: 'test' };
const start = (options: Partial<DashboardOptions> = {}) =>
  Dashboard.start({ connection: database.url, allowRevoke: false, ...usual, ...options }, systemClock);
const reading = await start();
afterAll(async () => {
  await reading.close();
  await database[Symbol.asyncDispose]();
});

describe('the page', () => {
  test('is served with its parts and a policy that lets nothing in from elsewhere', async () => {
    const page = await ask(reading.url, '/');
    expect(page).toMatchObject({ status: 200, headers: { 'content-type': 'text/html; charset=utf-8' } });
    const policy = String(page.headers['content-security-policy']);
    expect(policy).toContain(`default-src 'none'`);
    expect(policy).not.toContain('unsafe');
    expect(page.headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    });
    // Nothing that the policy would refuse.
    expect(page.text).not.toMatch(/<style|style=|<script(?![^>]* src=)|\son\w+=|https?:/);
    const parts = [...page.text.matchAll(/(?:src|href)="(.+?)"/g)].map(([, path = '']) => path);
    expect(parts).toContain('/page.js');
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
      const { status, text, headers } = await ask(reading.url, part);
      expect({ part, status }).toEqual({ part, status: 200 });
      expect(headers['content-type']).toMatch(/^(text\/css|text\/javascript|image\/svg\+xml)/);
      if (part.endsWith('.js') && part !== '/uplot.js')
        parts.push(...[...text.matchAll(/^import .*'\.(\/.+?)';$/gm)].map(([, path = '']) => path));
    }
  });

  test('comes again only when it has changed', async () => {
    const { headers } = await ask(reading.url, '/page.js');
    const again = await ask(reading.url, '/page.js', { headers: { 'if-none-match': String(headers.etag) } });
    expect(again).toMatchObject({ status: 304, text: '' });
    const head = await ask(reading.url, '/page.js', { method: 'HEAD' });
    expect(head).toMatchObject({ status: 200, text: '', headers: { etag: headers.etag } });
  });
});

describe('who is served', () => {
  const { host } = new URL(reading.url);
  test.each([
    ['a name of somebody else that leads here', { host: 'evil.example' }, '/', 403],
    ['the same with our port', { host: `evil.example:${new URL(reading.url).port}` }, '/api/leases', 403],
    ['a page of another site', { origin: 'https://evil.example' }, '/api/leases', 403],
    ['a sandboxed page', { origin: 'null' }, '/api/leases', 403],
    ['a page of another port', { origin: 'http://127.0.0.1:1' }, '/api/leases', 403],
    [
      'a script of another site',
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' },
      '/page.js',
      403,
    ],
    [
      'a link of another site to what a page asks',
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' },
      '/api/leases',
      403,
    ],
    ['a link of another site', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, '/', 200],
    ['our page', { origin: `http://${host}`, 'sec-fetch-site': 'same-origin' }, '/api/leases', 200],
    ['a forwarded port', { host: 'localhost:9999', origin: 'http://localhost:9999' }, '/api/leases', 200],
    ['the other loopback', { host: '[::1]:7070' }, '/api/leases', 200],
    ['somebody with curl', {}, '/api/leases', 200],
  ])('%s', async (_, headers, path, status) => {
    expect((await ask(reading.url, path, { headers })).status).toBe(status);
  });

  test('what is not there, and what is asked in another way', async () => {
    expect((await ask(reading.url, '/../package.json')).status).toBe(404);
    expect((await ask(reading.url, '/%2e%2e/package.json')).status).toBe(404);
    const { status, headers } = await ask(reading.url, '/', { method: 'DELETE' });
    expect({ status, allow: headers.allow }).toEqual({ status: 405, allow: 'GET, HEAD' });
  });
});

test('nobody looks while no page is open, all pages share one connection, and it goes with the last', async () => {
  await using own = await createDatabase();
  await using dashboard = await start({ connection: own.url });
  const connections = async (): Promise<number> =>
    (
      await own.query(
        `select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
      )
    ).length;
  await until('none', async () => (await connections()) === 0);
  {
    await using one = await listen(dashboard.url);
    await using other = await listen(dashboard.url);
    expect(await one.next('hello')).toMatchObject({
      schema: 'fencepost',
      refresh: 100,
      revocable: false,
      history: [],
    });
    const [first, second] = [await one.next('snapshot'), await other.next('snapshot')];
    expect(second.at).toBe(first.at);
    expect(await connections()).toBe(1);
  }
  await until('none', async () => (await connections()) === 0);
  await using again = await listen(dashboard.url);
  expect((await again.next('hello')).history.length).toBeGreaterThan(0);
  await again.next('snapshot');
});

test('a snapshot counts what there is, and each part says when it was found', async () => {
  await using own = await createDatabase();
  await plantCrowd(own, { leases: 1_000, waiters: 100, tenants: 4, holders: 10 });
  await own.query(`select fencepost.holder_open(interval '500 ms', 'doomed')`);
  await using dashboard = await start({ connection: own.url });
  await using page = await listen(dashboard.url);
  const snapshot = await page.next('snapshot');
  expect(snapshot.numbers.found).toMatchObject({ leases_held: 1_000, tickets: 100 });
  expect(snapshot.counts.found?.byTenant).toHaveLength(4);
  expect(snapshot.counts.found?.byTenant[0]).toEqual({
    name: 't0',
    known: 250,
    held: 250,
    wanted: 25,
    revoked: 0,
  });
  expect(snapshot.counts.found?.byFamily.map(({ name }) => name)).toEqual([
    ...['import', 'invoice', 'mail', 'nightly report', 'sync'],
  ]);
  const { found: waits } = snapshot.waits;
  expect(waits).toMatchObject({ total: 100, unknown: 0 });
  expect(waits?.buckets.reduce((sum, one) => sum + one, 0)).toBe(100);
  expect(waits?.longest).toHaveLength(50);
  expect(snapshot.soonest.found).toHaveLength(50);
  expect(snapshot.soonest.found?.[0]).toMatchObject({
    slot: 0,
    token: expect.stringMatching(/^\d{14,}$/),
    revoked: false,
  });
  const { found: blocked } = snapshot.blocked;
  expect(blocked?.ways.reduce((sum, { count }) => sum + count, 0)).toBe(100);
  expect(blocked?.ways[0]).toMatchObject({
    kind: 'lease',
    who: expect.stringMatching(/^app-/),
    by: expect.any(String),
  });
  expect(snapshot.at).toBeGreaterThanOrEqual(snapshot.numbers.at ?? Infinity);
  const later = await page.next('snapshot', ({ lost }) => lost === 1);
  expect(later.losses).toMatchObject([{ application: 'doomed' }]);
  expect(later.point.grants).not.toBeNull();
});

test('what looking may take is kept: with a small share the dear parts are looked at less often', async () => {
  await using own = await createDatabase();
  await plantCrowd(own, { leases: 5_000, waiters: 100, tenants: 4, holders: 10 });
  await using dashboard = await start({ connection: own.url, share: 0.000_01 });
  await using page = await listen(dashboard.url);
  const first = await page.next('snapshot');
  for (let looks = 0; looks < 10; looks += 1) {
    const { counts, blocked, numbers } = await page.next('snapshot');
    // Ten looks are a second: of that a hundred-thousandth is less than any of them takes.
    expect(
      [counts, blocked].filter((part) => part.at !== first.counts.at && part.at !== first.blocked.at),
    ).toEqual([]);
    expect(numbers.found).toEqual(first.numbers.found);
  }
});

test('a part that cannot be looked at says why, and the others go on', async () => {
  await using own = await createDatabase();
  await using dashboard = await start({ connection: own.url });
  await using page = await listen(dashboard.url);
  const before = await page.next('snapshot');
  await own.query('alter view fencepost.lease_counts rename to counts_of_leases');
  const after = await page.next('snapshot', ({ counts }) => counts.failure !== undefined);
  expect(after.counts).toMatchObject({
    failure: expect.stringContaining('lease_counts'),
    found: before.counts.found,
  });
  const next = await page.next('snapshot', ({ numbers }) => numbers.at !== after.numbers.at);
  expect(next.numbers.failure).toBeUndefined();
  await own.query('alter view fencepost.counts_of_leases rename to lease_counts');
  await page.next('snapshot', ({ counts }) => counts.failure === undefined);
});

test('a page stays connected while the database is away, is told so, and gets snapshots again', async () => {
  await using server = await startOwnServer();
  await using dashboard = await start({ connection: server.url });
  await using page = await listen(dashboard.url);
  await page.next('snapshot');
  await server.stop();
  expect((await page.next('trouble')).failure).not.toBe('');
  expect(JSON.parse((await ask(dashboard.url, '/api/leases')).text)).toEqual({
    error: expect.stringContaining('connect'),
  });
  await server.restart('fast');
  await page.next('snapshot');
  await server.crash();
  await page.next('snapshot', ({ at }) => at > 0);
});

test('leases page by page', async () => {
  await using own = await createDatabase();
  await plantCrowd(own, { leases: 60, waiters: 0, tenants: 2, holders: 2 });
  await using dashboard = await start({ connection: own.url });
  const page = async (query: Record<string, string>) =>
    JSON.parse((await ask(dashboard.url, `/api/leases?${new URLSearchParams(query)}`)).text);
  const first = await page({ tenant: 't1', name: 'mail-', limit: '2' });
  expect(first.leases.map(({ name }: { name: string }) => name)).toEqual(['mail-19', 'mail-29']);
  const next = await page({ tenant: 't1', name: 'mail-', limit: '2', after: first.next });
  expect(next.leases.map(({ name }: { name: string }) => name)).toEqual(['mail-39', 'mail-49']);
  expect(await page({ tenant: 't1', name: 'mail-', limit: '2', after: next.next })).toMatchObject({
    next: null,
  });
  for (const [query, error] of [
    [{ limit: '0' }, /query\.limit/],
    [{ limit: 'many' }, /query\.limit: expected a whole number from 1 to 500, got 'many'/],
    [{ tenants: 't1' }, /did you mean 'tenant'/],
    [{ after: '[1]' }, /query\.after: expected a JSON array/],
    [{ name: '\0' }, /query\.name/],
  ] as const) {
    expect(await page(query as Record<string, string>)).toEqual({ error: expect.stringMatching(error) });
  }
});

describe('revoking', () => {
  const json = { 'content-type': 'application/json' };
  const tokenOf = (url: string): string => new URLSearchParams(new URL(url).hash.slice(1)).get('token') ?? '';

  test('is not there unless it was allowed, whatever token there is', async () => {
    expect(reading.url).not.toContain('#');
    const headers = { ...json, 'x-fencepost-token': '' };
    const { status, text } = await ask(reading.url, '/api/revoke', { method: 'POST', headers, body: '{}' });
    expect(status).toBe(403);
    expect(text).toContain('--allow-revoke');
  });

  test('needs the token in a header, JSON, and our own page', async () => {
    await using dashboard = await start({ allowRevoke: true });
    const token = tokenOf(dashboard.url);
    expect(token).toMatch(/^[\w-]{32}$/);
    const good = { ...json, 'x-fencepost-token': token };
    const body = JSON.stringify({ tenant: '', name: 'nobody', token: '1' });
    const post = async (headers: Record<string, string>, text = body) =>
      (await ask(dashboard.url, '/api/revoke', { method: 'POST', headers, body: text })).status;
    expect(await post(good)).toBe(200);
    expect(await post(json)).toBe(403);
    expect(await post({ ...json, 'x-fencepost-token': `${token.slice(1)}x` })).toBe(403);
    expect(await post({ 'x-fencepost-token': token })).toBe(415);
    expect(await post({ ...good, origin: 'http://evil.example' })).toBe(403);
    expect(await post({ ...good, host: 'evil.example' })).toBe(403);
    expect((await ask(dashboard.url, `/api/revoke?token=${token}`)).status).toBe(405);
    for (const bad of ['', '[]', '{}', '{"tenant":"","name":"x"}', '{"tenant":"","name":"x","token":1}'])
      expect({ bad, status: await post(good, bad) }).toEqual({ bad, status: 400 });
    expect(await post(good, `{"tenant":"${'x'.repeat(20_000)}"}`)).toBe(400);
    expect((await ask(dashboard.url, '/')).text).not.toContain(token);
  });

  test('takes the lease with that token away, and never its successor', async () => {
    await using fencepost = new Fencepost({ connection: database.url });
    await using dashboard = await start({ allowRevoke: true });
    const headers = { ...json, 'x-fencepost-token': tokenOf(dashboard.url) };
    const revoke = async (token: bigint) => {
      const body = JSON.stringify({ tenant: 'acme', name: 'import', token: String(token), grace: '0s' });
      return JSON.parse((await ask(dashboard.url, '/api/revoke', { method: 'POST', headers, body })).text);
    };
    const lease = await fencepost.leases.acquire({ tenant: 'acme', name: 'import' });
    await lease.release();
    const successor = await fencepost.leases.acquire({ tenant: 'acme', name: 'import' });
    expect(await revoke(lease.token)).toEqual({ revoked: [] });
    expect(successor.state).toBe('held');
    expect(await revoke(successor.token)).toEqual({ revoked: [String(successor.token)] });
    await until('it is told', () => successor.signal.aborted);
  });
});

test('closing ends the streams at once and leaves no session behind', async () => {
  const dashboard = await start();
  const { url } = dashboard;
  await using page = await listen(url);
  await page.next('snapshot');
  await dashboard.close();
  await expect(page.next('trouble')).rejects.toThrow('the stream ended');
  await dashboard.close();
  await expect(listen(url)).rejects.toThrow();
});

test('starting says what is wrong', async () => {
  const { port } = new URL(reading.url);
  await expect(start({ port: Number(port) })).rejects.toThrow(
    `cannot listen on port ${port} of 127.0.0.1: it is in use: choose another with --port`,
  );
  await expect(start({ schema: 'elsewhere' })).rejects.toThrow(/elsewhere/);
  await expect(start({ connection: 'postgresql://127.0.0.1:1/nothing' })).rejects.toThrow(/connect/);
});
