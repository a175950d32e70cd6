import { availableParallelism } from 'node:os';
import { startChild } from '../support/child.ts';
import { Progress } from '../support/progress.ts';
import { simulate, usual } from './simulation.ts';
import type { Seeds, Summary } from './simulation-worker.ts';

const worker = new URL('./simulation-worker.ts', import.meta.url);
/** Seeds that a process runs before it is asked for more. */
const portion = 500;

/** Runs so many seeds on all cores, from this one on, and tells what came of them; the exit code. */
export async function runSimulation(count: number, from: number, guard = true): Promise<number> {
  const started = performance.now();
  const summaries: Summary[] = [];
  let next = from;
  const sum = (
    name: 'seeds' | 'simulatedMs' | 'grants' | 'faults' | 'refusedWrites' | 'staleWrites',
  ): number => summaries.reduce((total, summary) => total + summary[name], 0);
  const progress = new Progress('seeds', count);
  const lane = async (): Promise<void> => {
    while (next < from + count) {
      const seeds: Seeds = { from: next, count: Math.min(portion, from + count - next), guard };
      next += seeds.count;
      await using child = startChild(worker, seeds);
      summaries.push(await child.next<Summary>());
      progress.at(sum('seeds'));
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, lane));
  progress[Symbol.dispose]();
  const failed = summaries.flatMap((summary) => summary.failed).sort((a, b) => a.seed - b.seed);
  const hours = (performance.now() - started) / 3_600_000;
  const figures = {
    seeds: `${sum('seeds')}, from ${from}`,
    'simulated hours': (sum('simulatedMs') / 3_600_000).toFixed(1),
    faults: sum('faults'),
    grants: sum('grants'),
    'writes refused by the guard': sum('refusedWrites'),
    'runs with a stale write accepted': sum('staleWrites'),
    'seeds an hour': Math.round(sum('seeds') / hours),
    'seeds that broke a promise': failed.length,
  };
  for (const [name, value] of Object.entries(figures)) console.log(`${name.padEnd(34)} ${value}`);
  for (const { seed, violations } of failed.slice(0, 10)) {
    console.log(`\nseed ${seed}; again: npm run lab -- simulate --seed ${seed}`);
    for (const violation of violations.slice(0, 3)) console.log(`  ${violation}`);
  }
  return failed.length === 0 ? 0 : 1;
}

/** One seed again, with all that happens; the exit code. */
export async function replay(seed: number): Promise<number> {
  const { violations, grants, faults } = await simulate(seed, {
    ...usual,
    tell: (what) => console.log(what),
  });
  console.log(`\nseed ${seed}: ${grants} grants, ${faults} faults, ${violations.length} violations`);
  for (const violation of violations) console.log(`  ${violation}`);
  return violations.length === 0 ? 0 : 1;
}
