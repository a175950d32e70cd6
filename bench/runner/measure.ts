import { cpus, loadavg, totalmem } from 'node:os';
import { fairClaims } from '../peers/fencepost-claims.ts';
import { jobPeers } from '../peers/jobs.ts';
import { lockPeers } from '../peers/locks.ts';
import { notify } from '../peers/notify.ts';
import { readReport } from '../reporting/files.ts';
import type { Report, WorkReport } from '../reporting/report.ts';
import type { Bench, Effort, Work } from './bench.ts';
import { Crew } from './crew.ts';
import { startServers } from './servers.ts';

/** Measures the works one after the other; those to keep stand as they were measured last. */
export async function measure(
  works: readonly Work[],
  effort: Effort,
  command: string,
  keep: readonly Work[],
): Promise<Report> {
  const at = utc();
  // Whoever else was at work makes all figures doubtful.
  const load = loadavg()[0]?.toFixed(1);
  const measured: WorkReport[] = [];
  await using servers = await startServers();
  for (const work of works) {
    const began = utc();
    const started = performance.now();
    process.stderr.write(`${work.name}:`);
    const outcome = await outcomeOf(work, { ...effort, servers });
    const took = Math.round((performance.now() - started) / 1_000);
    process.stderr.write(` (${took} s)\n`);
    const { name, title, about } = work;
    measured.push({ name, title, about, command, at: began, took, ...outcome });
  }
  const last = (await readReport())?.works ?? [];
  const kept = keep.flatMap(({ name }) => last.find((one) => one.name === name) ?? []);
  const all = [...lockPeers, notify, ...jobPeers, fairClaims];
  return {
    command,
    at,
    machine: `${cpus().length} x ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GB, ${process.platform}, load average ${load} when it began`,
    versions: [`Node ${process.version}`, ...servers.versions],
    settings: Object.fromEntries(all.map(({ name, settings }) => [name, settings])),
    works: [...measured, ...kept],
  };
}

/** One work that fails leaves the others their turn. */
async function outcomeOf(
  work: Work,
  given: Omit<Bench, 'crew' | 'log'>,
): Promise<Pick<WorkReport, 'tables' | 'failed'>> {
  try {
    await using crew = new Crew();
    return { tables: await work.run({ ...given, crew, log: (text) => process.stderr.write(` ${text}`) }) };
  } catch (error) {
    console.error(error);
    return { tables: [], failed: error instanceof Error ? error.message : String(error) };
  }
}

function utc(): string {
  return new Date().toISOString().slice(0, 16).replace('T', ' ');
}
