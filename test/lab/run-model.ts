import { exploreLeases, type Protocol } from './model.ts';

/** The protocol as it is, and with one part of it missing. */
const machines: readonly {
  readonly what: string;
  readonly rules: Partial<Protocol>;
  readonly sound: boolean;
}[] = [
  { what: 'the protocol, without a failover', rules: { failover: false }, sound: true },
  { what: 'the protocol, with a failover', rules: {}, sound: true },
  { what: 'without the guard', rules: { guard: false, failover: false }, sound: false },
  { what: 'with a guard that does not lock', rules: { guardLocks: false, failover: false }, sound: false },
  { what: 'with tokens that know no era', rules: { eras: false }, sound: false },
  {
    what: 'with a release by the key alone',
    rules: { releaseByToken: false, failover: false, grants: 3 },
    sound: false,
  },
  {
    what: 'with clocks that differ by more than the margin',
    rules: { drift: 2, failover: false },
    sound: false,
  },
];

/** Visits all states of each, and tells how many; the exit code. */
export function runModel(size: Partial<Protocol>): number {
  let broken = 0;
  for (const { what, rules, sound } of machines) {
    const started = performance.now();
    const { states, steps, depth, counterexample } = exploreLeases({ ...size, ...rules });
    const seconds = ((performance.now() - started) / 1_000).toFixed(1);
    console.log(`${what}: ${states} states, ${steps} steps, ${depth} deep, ${seconds} s`);
    if (counterexample === undefined) console.log('  nothing is broken in any of them');
    for (const [index, step] of (counterexample ?? []).entries()) console.log(`  ${index + 1}. ${step}`);
    if (sound !== (counterexample === undefined)) broken += 1;
  }
  console.log(broken === 0 ? 'as it has to be' : `${broken} are not as they have to be`);
  return broken === 0 ? 0 : 1;
}
