import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, inject, test } from 'vitest';

const path = (from: string): string => fileURLToPath(new URL(`../../${from}`, import.meta.url));

test('the example of a user with vitest passes', { timeout: 120_000 }, async () => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [path('node_modules/vitest/vitest.mjs'), 'run', '--root', path('examples/testing')],
    { env: { ...process.env, NO_COLOR: '1', VITEST: undefined, FENCEPOST_TEST_URL: inject('adminUrl') } },
  );
  expect(stdout).toContain('FENCEPOST_TEST_URL is set');
  expect(stdout).toMatch(/Tests {2}1 passed \(1\)/);
});
