/** Runs seeds one after the other, and tells what came of them. */
import { argumentOfChild, tellParent } from '../support/child.ts';
import { simulate } from './simulation.ts';

export interface Seeds {
  readonly from: number;
  readonly count: number;
  readonly guard: boolean;
}

export interface Summary {
  readonly seeds: number;
  readonly simulatedMs: number;
  readonly grants: number;
  readonly faults: number;
  readonly refusedWrites: number;
  readonly staleWrites: number;
  /** Seeds that broke a promise, and what they said. */
  readonly failed: readonly { readonly seed: number; readonly violations: readonly string[] }[];
}

/** The runs of these seeds. */
export async function simulateAll({ from, count, guard }: Seeds): Promise<Summary> {
  const sum = { simulatedMs: 0, grants: 0, faults: 0, refusedWrites: 0, staleWrites: 0 };
  const failed: Summary['failed'][number][] = [];
  for (let seed = from; seed < from + count; seed += 1) {
    const run = await simulate(seed, { guard, drift: 0.03 });
    for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += run[name];
    if (run.violations.length > 0) failed.push({ seed, violations: run.violations });
  }
  return { seeds: count, ...sum, failed };
}

if (process.argv[1] === import.meta.filename) {
  tellParent(await simulateAll(argumentOfChild<Seeds>()));
  process.disconnect();
}
