import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { chartOf } from './charts.ts';
import { markdownOf } from './markdown.ts';
import type { Report } from './report.ts';

const page = new URL('../report.md', import.meta.url);
const folder = new URL('../report/', import.meta.url);
const raw = new URL('report.json', folder);

/** The last report, if there is one. */
export async function readReport(): Promise<Report | undefined> {
  try {
    return JSON.parse(await readFile(raw, 'utf8')) as Report;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Writes the page, its charts and what was measured. */
export async function writeReport(report: Report): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await writeFile(raw, `${JSON.stringify(report, null, 1)}\n`);
  await writeFile(page, markdownOf(report));
  for (const table of report.works.flatMap(({ tables }) => tables))
    await writeFile(new URL(`${table.id}.svg`, folder), chartOf(table));
  console.log('bench/report.md, with charts and report.json in bench/report');
}
