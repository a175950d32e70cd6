import { cpus, totalmem } from 'node:os';
import { lockPeers } from '../peers/locks.ts';
import { readReport } from '../reporting/files.ts';
import type { Report, WorkReport } from '../reporting/report.ts';
import type { Effort, Work } from './bench.ts';
import { Crew } from './crew.ts';
import { startServers } from './servers.ts';

/** Measures the works one after the other; with `keep`, works that are not measured stand as they were measured last. */
export async function measure(works: readonly Work[], effort: Effort, keep: boolean): Promise<Report> {
  const began = new Date();
  const measured: WorkReport[] = [];
  await using servers = await startServers();
  await using crew = new Crew();
  for (const work of works) {
    const started = performance.now();
    process.stderr.write(`${work.name}:`);
    const tables = await work.run({
      ...effort,
      servers,
      crew,
      log: (text) => process.stderr.write(` ${text}`),
    });
    const seconds = Math.round((performance.now() - started) / 1_000);
    process.stderr.write(` (${seconds} s)\n`);
    measured.push({ name: work.name, title: work.title, about: work.about, seconds, tables });
  }
  const kept = keep ? ((await readReport())?.works ?? []) : [];
  const others = kept.filter(({ name }) => measured.every((one) => one.name !== name));
  return {
    command: `npm run bench${effort.quick ? ' -- --quick' : ''}`,
    at: began.toISOString().slice(0, 16).replace('T', ' '),
    machine: `${cpus().length} x ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GB, ${process.platform}`,
    versions: [`Node ${process.version}`, ...servers.versions],
    rounds: effort.rounds,
    seconds: effort.seconds,
    settings: Object.fromEntries(lockPeers.map(({ name, settings }) => [name, settings])),
    works: [...measured, ...others],
  };
}
