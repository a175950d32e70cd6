import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { listen } from '../dashboard/client.ts';
import { compiled } from '../support/compiled.ts';
import { createDatabase } from '../support/database.ts';

const entry = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const database = await createDatabase();
afterAll(() => database[Symbol.asyncDispose]());

function start(...given: string[]) {
  const child = spawn(process.execPath, [entry, 'dashboard', '--port', '0', ...given], {
    env: { PATH: process.env.PATH, ...compiled, DATABASE_URL: database.url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (said.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (said.stderr += text));
  return { child, said, ended: once(child, 'close') };
}

test.each(['SIGINT', 'SIGTERM'] as const)(
  'prints where the page is, and ends with %s while pages are open',
  async (signal) => {
    const { child, said, ended } = start();
    await once(child.stdout, 'data');
    expect(said.stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\n$/);
    await using page = await listen(said.stdout.trim());
    await page.next('snapshot');
    child.kill(signal);
    expect(await ended).toEqual([0, null]);
    expect(said.stderr).toBe('It only reads. Whoever uses this machine can open it. Ctrl-C ends it.\n');
  },
);

test('--allow-revoke prints the address with the token', async () => {
  const { child, said, ended } = start('--allow-revoke', '--host', '::1', '--refresh', '5s', '--load', '0.5');
  await once(child.stdout, 'data');
  expect(said.stdout).toMatch(/^http:\/\/\[::1\]:\d+\/#token=[\w-]{32}\n$/);
  child.kill('SIGINT');
  expect(await ended).toEqual([0, null]);
});

test.each([
  [['--host', '0.0.0.0'], '--host: expected a loopback address: localhost, 127.0.0.1 or ::1'],
  [['--port', '70000'], '--port: expected a whole number from 0 to 65535'],
  [['--port', ''], '--port: expected a whole number from 0 to 65535'],
  [['--refresh', '1ms'], '--refresh: expected'],
  [['--load', '0'], '--load: expected a number of percent above 0, at most 100'],
])('refuses %s', async (given, expected) => {
  const { said, ended } = start(...given);
  expect(await ended).toEqual([2, null]);
  expect(said).toEqual({ stdout: '', stderr: expect.stringContaining(expected) });
});
