import { Fencepost } from 'fencepost';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { Dashboard, type DashboardOptions } from '../../src/dashboard/dashboard.ts';
import { plantCrowd } from '../support/crowd.ts';
import { createDatabase } from '../support/database.ts';
import { createJobs, insertJobs, jobsOf } from '../support/jobs.ts';
import { startOwnServer } from '../support/postmaster.ts';
import { until } from '../support/until.ts';
import { launch, narrow, openPage, picture, stateIs, wide } from './browser.ts';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

function startDashboard(connection: string, options: Partial<DashboardOptions> = {}): Promise<Dashboard> {
  const usual = {
    schema: 'fencepost',
    host: '127.0.0.1',
    port: 0,
    refresh: 500,
    share: 1,
    allowRevoke: false,
  };
  return Dashboard.start({ ...usual, version: 'test', connection, ...options }, systemClock);
}

test('an empty database: every part says that there is nothing', async () => {
  await using database = await createDatabase();
  await using dashboard = await startDashboard(database.url);
  for (const [name, options] of Object.entries({
    'empty-light-wide': { viewport: wide },
    'empty-dark-narrow': { viewport: narrow, colorScheme: 'dark' as const },
  })) {
    await using opened = await openPage(browser, dashboard.url, options);
    const { page, complaints } = opened;
    await stateIs(page, 'live');
    const empty = await page.locator('.empty').allTextContents();
    expect(empty).toContain('Nobody is in anybody’s way.');
    expect(empty.filter((text) => text === 'No lease is held.')).toHaveLength(3);
    expect(empty).toContain('No row of a table is claimed.');
    await page.getByText('No held lease is like that.').waitFor();
    await picture(page, name);
    expect(complaints).toEqual([]);
  }
});

test('10,000 leases and 1,000 waiters: counted, searched page by page, and few rows in the page', async () => {
  await using database = await createDatabase();
  await plantCrowd(database, { leases: 10_000, waiters: 1_000, tenants: 40, holders: 25 });
  await using dashboard = await startDashboard(database.url);
  for (const [name, options] of Object.entries({
    'crowd-light-wide': { viewport: wide },
    'crowd-dark-wide': { viewport: wide, colorScheme: 'dark' as const },
    'crowd-light-narrow': { viewport: narrow },
  })) {
    await using opened = await openPage(browser, dashboard.url, options);
    const { page, complaints } = opened;
    await stateIs(page, 'live');
    await page.locator('#numbers').getByText('10,000', { exact: true }).waitFor();
    await page.locator('#numbers').getByText('1,000', { exact: true }).waitFor();
    await page.getByText('1 to 50, and there are more').waitFor();
    expect(await page.locator('tr').count()).toBeLessThan(700);
    expect(await page.locator('#chains svg g').count()).toBe(28);
    expect(await page.locator('body').evaluate((body) => body.scrollWidth <= body.clientWidth)).toBe(true);
    await picture(page, name);
    expect(complaints).toEqual([]);
  }

  await using opened = await openPage(browser, dashboard.url);
  const { page } = opened;
  await page.getByLabel('Tenant', { exact: true }).fill('t7');
  await page.getByLabel('Name begins with').fill('nightly report');
  await page.keyboard.press('Enter');
  const names = page.locator('#found td:nth-child(2)');
  await page.getByText('1 to 50, and there are more').waitFor();
  await until('only those', async () => {
    const texts = await page.locator('#found td:first-child').allTextContents();
    return texts.length === 50 && texts.every((text) => text === 't7');
  });
  const first = await names.allTextContents();
  await page.getByRole('button', { name: 'Next' }).press('Enter');
  await page.getByText(/^51 to /).waitFor();
  expect(first).not.toContain(await names.first().textContent());
  await page.getByRole('button', { name: 'Previous' }).click();
  await page.getByText(/^1 to 50/).waitFor();
  expect(await names.allTextContents()).toEqual(first);
});

test('a chain, claims, locks, a loss, and names that would be markup', async () => {
  await using database = await createDatabase();
  await using first = new Fencepost({ connection: database.url });
  await using second = new Fencepost({ connection: database.url });
  await using third = new Fencepost({ connection: database.url });
  await using fourth = new Fencepost({ connection: database.url });
  const giveUp = new AbortController();
  const { signal } = giveUp;
  await first.leases.acquire({ tenant: 'acme', name: ['invoice', 1] });
  await second.leases.acquire({ tenant: 'acme', name: ['report', 7] });
  await first.leases.acquire('<img src=x onerror=alert(1)>\u202e');
  await first.advisory.acquire('nightly');
  const waits = Promise.allSettled([
    second.leases.acquire({ tenant: 'acme', name: ['invoice', 1] }, { fair: true, signal }),
    third.leases.acquire({ tenant: 'acme', name: ['report', 7] }, { fair: true, signal }),
    fourth.leases.acquire('<img src=x onerror=alert(1)>\u202e', { signal }),
    second.advisory.acquire('nightly', { signal }),
  ]);
  await until(
    'three stand in line',
    async () => (await database.query('select from fencepost.holders')).length >= 4,
  );
  // Every process of this test has the name of this one.
  await database.query(
    `update fencepost.holder set application = 'worker-' || (array['a', 'b', 'c', 'd'])[n] from (
       select id as i, row_number() over (order by opened_at) as n from fencepost.holder) o where id = i`,
  );
  await createJobs(database);
  await insertJobs(database, 9);
  const jobs = jobsOf(first, database.pool);
  await jobs.ensure();
  const [one, two] = await jobs.claim({ limit: 5 });
  await one?.release({ after: 100_000, error: 'later' });
  await two?.fail('no');
  await database.query(`select fencepost.holder_open(interval '3 s', 'worker-doomed:7')`);

  await using dashboard = await startDashboard(database.url);
  await using opened = await openPage(browser, dashboard.url);
  const { page, complaints } = opened;
  await stateIs(page, 'live');
  await page.locator('#chains g.root text', { hasText: 'worker-a' }).waitFor();
  await page.locator('#claims').getByText('job').waitFor();
  await page.locator('#losses').getByText('worker-doomed:7').waitFor({ timeout: 30_000 });
  await page.locator('#locks td').getByText('exclusive').waitFor();
  await page.getByText('As a table').click();
  await page.locator('#ways').getByText('(not in line)').waitFor();
  expect(await page.locator('main img').count()).toBe(0);
  await page.locator('#soonest').getByText('<img src=x onerror=alert(1)>').waitFor();
  await picture(page, 'chain');
  expect(complaints).toEqual([]);
  giveUp.abort();
  await waits;
});

test('processes that wait for each other in a circle are drawn as one', async () => {
  await using database = await createDatabase();
  await using one = new Fencepost({ connection: database.url });
  await using other = new Fencepost({ connection: database.url });
  const giveUp = new AbortController();
  await one.leases.acquire('left');
  await database.query(`update fencepost.holder set application = 'worker-one'`);
  await other.leases.acquire('right');
  await database.query(
    `update fencepost.holder set application = 'worker-two' where application <> 'worker-one'`,
  );
  const waits = Promise.allSettled([
    one.leases.acquire('right', { fair: true, signal: giveUp.signal }),
    other.leases.acquire('left', { fair: true, signal: giveUp.signal }),
  ]);
  await using dashboard = await startDashboard(database.url);
  await using opened = await openPage(browser, dashboard.url);
  const { page, complaints } = opened;
  await page.locator('#chains path.circle').waitFor({ state: 'attached' });
  expect(await page.locator('#chains svg').getAttribute('aria-label')).toContain('1 circle');
  await picture(page, 'circle');
  expect(complaints).toEqual([]);
  giveUp.abort();
  await waits;
});

test('revoking: not without the token, not without a yes, and never a successor', async () => {
  await using database = await createDatabase();
  await using fencepost = new Fencepost({ connection: database.url });
  const lease = await fencepost.leases.acquire({ tenant: 'acme', name: 'import' });
  await using dashboard = await startDashboard(database.url, { allowRevoke: true });
  const [address = ''] = dashboard.url.split('#');
  {
    await using opened = await openPage(browser, address);
    const { page } = opened;
    await page.locator('#found').getByText('import').waitFor();
    expect(await page.getByText('Revoke…').count()).toBe(0);
  }
  await using opened = await openPage(browser, dashboard.url);
  const { page, complaints } = opened;
  const button = page.locator('#found').getByText('Revoke…');
  await button.waitFor();
  expect(page.url()).toBe(address);
  await button.focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.getByText(String(lease.token)).waitFor();
  await picture(page, 'revoke-confirm', false);
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.setViewportSize(narrow);
  await picture(page, 'revoke-confirm-dark-narrow', false);
  await page.setViewportSize(wide);
  // The focus is on what changes nothing.
  await page.keyboard.press('Enter');
  await dialog.waitFor({ state: 'hidden' });
  expect(lease.state).toBe('held');

  // While the question stands there, the lease changes hands.
  await button.click();
  await lease.release();
  const successor = await fencepost.leases.acquire({ tenant: 'acme', name: 'import' });
  await dialog.getByLabel('Time that the process has to end').selectOption('none');
  await dialog.getByText('Take it away').click();
  await page
    .getByText('Nothing was taken away: import has been released or changed hands meanwhile.')
    .waitFor();
  expect(successor.state).toBe('held');
  expect(successor.signal.aborted).toBe(false);

  await page.locator('#soonest').getByText(String(successor.token)).waitFor();
  await page.locator('#soonest').getByText('Revoke…').click();
  await dialog.getByText(String(successor.token)).waitFor();
  await dialog.getByLabel('Time that the process has to end').selectOption('none');
  await dialog.getByText('Take it away').click();
  await page.getByText('import was taken away').waitFor();
  await until('it is told', () => successor.signal.aborted);
  expect(complaints).toEqual([]);
});

test('a tab left open through restarts of Postgres and of the dashboard recovers by itself', async () => {
  await using server = await startOwnServer();
  await plantCrowd(server, { leases: 200, waiters: 20, tenants: 4, holders: 5 });
  let dashboard = await startDashboard(server.url);
  try {
    await using opened = await openPage(browser, dashboard.url);
    const { page, complaints } = opened;
    await stateIs(page, 'live');
    await page.locator('#numbers').getByText('200', { exact: true }).waitFor();

    await server.stop();
    await stateIs(page, 'trouble');
    const banner = page.locator('#banner');
    await banner
      .getByText(/^The database does not answer: .* What is shown is \d+(\.\d)? (ms|s) old\.$/)
      .waitFor();
    await page.locator('#numbers').getByText('200', { exact: true }).waitFor();
    await picture(page, 'database-gone');
    await server.restart('fast');
    await stateIs(page, 'live');
    await banner.waitFor({ state: 'hidden' });

    const { port } = new URL(dashboard.url);
    await dashboard.close();
    await stateIs(page, 'disconnected');
    await banner
      .getByText(/^The dashboard does not answer\. .* What is shown is \d+(\.\d)? (ms|s) old\.$/)
      .waitFor();
    await page.setViewportSize(narrow);
    await picture(page, 'dashboard-gone-narrow', false);
    await page.setViewportSize(wide);
    await server.query(`delete from fencepost.lease where tenant = 't1'`);
    dashboard = await startDashboard(server.url, { port: Number(port) });
    await stateIs(page, 'live');
    await page.locator('#numbers').getByText('150', { exact: true }).waitFor();
    await picture(page, 'back');
    expect(complaints).toEqual([]);
  } finally {
    await dashboard.close();
  }
});
