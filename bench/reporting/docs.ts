import { readFile, writeFile } from 'node:fs/promises';
import { readReport } from './files.ts';
import { filled } from './fill.ts';

const page = new URL('../../docs/performance.md', import.meta.url);

/** Puts the figures of the last report into the page, between its markers. */
export async function writeDocs(): Promise<void> {
  const report = await readReport();
  if (report === undefined) throw new Error('nothing was measured yet: npm run bench');
  await writeFile(page, filled(await readFile(page, 'utf8'), report));
  console.log('docs/performance.md has the figures of the last report');
}
