import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { buildPackage } from './built.ts';
import { listing } from './listing.ts';

const built = await buildPackage('--removeComments');
afterAll(() => built[Symbol.asyncDispose]());

// After a change that is meant: npm run api
test('the public API is the listed one', async () => {
  const { name, exports } = JSON.parse(await readFile(join(built.folder, 'package.json'), 'utf8'));
  const parts = Object.entries<{ types?: string }>(exports).flatMap(([entry, { types }]) =>
    types === undefined ? [] : [`## ${join(name, entry)}\n\n${listing(join(built.folder, types))}`],
  );
  await expect(parts.join('\n')).toMatchFileSnapshot('./public-api.txt');
});
