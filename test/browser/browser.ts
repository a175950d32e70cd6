import { accessSync, constants, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
const folder = fileURLToPath(new URL('screenshots/', import.meta.url));

/** Where the browser is: what CHROMIUM says, or the first that the path has. */
function findChromium(): string {
  const { CHROMIUM, PATH = '' } = process.env;
  const places = PATH.split(delimiter).flatMap((place) => names.map((name) => join(place, name)));
  const found = [...(CHROMIUM === undefined ? [] : [CHROMIUM]), ...places].find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (found !== undefined) return found;
  throw new Error('there is no Chromium: install one (apt-get install chromium), or name it in CHROMIUM');
}

export function launch(): Promise<Browser> {
  mkdirSync(folder, { recursive: true });
  return chromium.launch({
    executablePath: findChromium(),
    args: [
      ...[
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-sync',
      ],
      ...['--disable-background-networking', '--disable-component-update'],
    ],
  });
}

export const wide = { width: 1400, height: 1000 };
export const narrow = { width: 390, height: 844 };

/** A page whose complaints are collected: errors, refusals of the policy, and requests to elsewhere. */
export interface WatchedPage extends AsyncDisposable {
  readonly page: Page;
  readonly complaints: string[];
}

export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: wide, ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('console', (message) => {
    // While the dashboard is away the browser says of each request that it failed.
    const { text, type } = { text: message.text(), type: message.type() };
    if (type === 'error' && !text.includes('ERR_CONNECTION') && !text.includes('ERR_INCOMPLETE_CHUNKED'))
      complaints.push(`console: ${text}`);
  });
  page.on('request', (request) => {
    if (new URL(request.url()).host !== new URL(url).host) complaints.push(`elsewhere: ${request.url()}`);
  });
  await page.goto(url);
  return { page, complaints, [Symbol.asyncDispose]: () => context.close() };
}

/** Says how the page thinks it is connected. */
export async function stateIs(page: Page, state: 'live' | 'trouble' | 'disconnected'): Promise<void> {
  await page.locator(`#state[data-state=${state}]`).waitFor({ timeout: 60_000 });
}

/** Puts a picture of the whole page, or of what is seen of it, into a folder that git does not keep. */
export async function picture(page: Page, name: string, fullPage = true): Promise<void> {
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage });
}
