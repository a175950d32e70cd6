import { raceWithFaults } from '../races/mixed-faults.ts';
import { exploreLeases } from './model.ts';
import { simulateAll } from './simulation-worker.ts';

/** What shows what the guard is for: the same run with it and without. Answers what was broken, in a few words. */
type Twin = (guard: boolean) => Promise<{ readonly broken: number; readonly said: string }>;

const twins: Record<string, Twin> = {
  async 'every state of the protocol'(guard) {
    const { states, counterexample } = exploreLeases({
      horizon: 3,
      ttl: 2,
      grants: 2,
      failover: false,
      guard,
    });
    return {
      broken: counterexample === undefined ? 0 : 1,
      said: `${states} states; ${counterexample?.at(-1) ?? 'nothing'}`,
    };
  },
  async 'clients in simulated time'(guard) {
    const { seeds, grants, staleWrites } = await simulateAll({ from: 1, count: 2_000, guard });
    return {
      broken: staleWrites,
      said: `${seeds} seeds, ${grants} grants; in ${staleWrites} a write after a newer one`,
    };
  },
  async 'processes and servers under mixed faults'(guard) {
    const race = {
      rounds: 1_000_000,
      seconds: 20,
      processes: 3,
      callers: 8,
      keys: 4,
      ttl: 400,
      every: 200,
      steps: 0,
    };
    const { figures, violations } = await raceWithFaults({ ...race, guard: guard ? 1 : 0 });
    return {
      broken: violations.length,
      said: `${figures['accepted writes']} writes; ${violations.join('; ') || 'nothing'}`,
    };
  },
};

/** Runs each with the guard and without, and says where the twin showed no damage in its time; the exit code. */
export async function runTwins(): Promise<number> {
  let broken = 0;
  for (const [what, twin] of Object.entries(twins)) {
    const [sound, bare] = [await twin(true), await twin(false)];
    if (sound.broken > 0) broken += 1;
    console.log(`${what}\n  with the guard     ${sound.said}\n  without the guard  ${bare.said}`);
    if (bare.broken === 0) console.log('  the twin showed no damage in its rounds');
  }
  return broken === 0 ? 0 : 1;
}
