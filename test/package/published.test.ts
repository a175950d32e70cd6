import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { type Message, publint } from 'publint';
import { afterAll, expect, test, vi } from 'vitest';
import { buildPackage, run } from './built.ts';

// Whole compilers and installers run here, on whatever else the machine has to do.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const built = await buildPackage();
afterAll(() => built[Symbol.asyncDispose]());
const tarball = join(built.folder, 'packed', 'fencepost.tgz');
const unpacked = join(built.folder, 'packed', 'package');
await mkdir(dirname(tarball));
const [packed] = JSON.parse(await run(built.folder, 'npm', 'pack', '--ignore-scripts', '--json')) as {
  filename: string;
}[];
await run(built.folder, 'mv', packed?.filename ?? '', tarball);
await run(dirname(tarball), 'tar', 'xzf', tarball);

test('the tarball holds what users need and nothing else', async () => {
  const sources = (await filesIn(built.folder, 'src', 'sql', 'migrations')).sort();
  const compiled = sources
    .filter((file) => file.startsWith('src/') && file.endsWith('.ts'))
    .map((file) => file.replace(/^src\/(.*)\.ts$/, 'dist/$1'))
    .flatMap((file) => ['.js', '.js.map', '.d.ts', '.d.ts.map'].map((ending) => `${file}${ending}`));
  const pages = ['LICENSE', 'README.md', 'package.json'];
  const page = (await filesIn(built.folder, 'page')).filter((file) => !/\.(json|d\.ts)$/.test(file));
  expect(await filesIn(unpacked, '.')).toEqual([...compiled, ...pages, ...page, ...sources].sort());
});

test('source maps lead to sources in the tarball', async () => {
  const maps = (await filesIn(unpacked, 'dist')).filter((file) => file.endsWith('.map'));
  expect(maps).not.toEqual([]);
  for (const map of maps) {
    const { sources } = JSON.parse(await readFile(join(unpacked, map), 'utf8')) as { sources: string[] };
    const missing = sources.filter((source) => !existsSync(join(unpacked, dirname(map), source)));
    expect(missing, map).toEqual([]);
  }
});

test('publint finds nothing', async () => {
  const { messages } = await publint({ pkgDir: unpacked, pack: false, strict: true });
  expect(messages satisfies Message[]).toEqual([]);
});

test('are-the-types-wrong finds nothing', async () => {
  // The package is ESM only: CommonJS loads it with require() of an ES module, which Node 22.12 and newer allow.
  await run(built.folder, 'attw', '--profile', 'esm-only', '--no-color', '--format', 'ascii', tarball);
});

async function filesIn(root: string, ...folders: string[]): Promise<string[]> {
  const found = await Promise.all(
    folders.map((folder) => readdir(join(root, folder), { recursive: true, withFileTypes: true })),
  );
  return found
    .flat()
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(root, join(parentPath, name)))
    .sort();
}
