import { cpuUsage } from 'node:process';
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

/** On a machine that does other work too, whoever waits sees that it goes on. */
function tell(what: string): (states: number) => void {
  let next = 250_000;
  return (states) => {
    if (states < next) return;
    console.log(`  ${what}: ${states} states so far`);
    next += 250_000;
  };
}

/** Visits all states of each, and tells how many; the exit code. */
export function runModel(size: Partial<Protocol>): number {
  let broken = 0;
  for (const { what, rules, sound } of machines) {
    const started = cpuUsage();
    const { states, steps, depth, counterexample } = exploreLeases({ ...size, ...rules }, tell(what));
    const { user, system } = cpuUsage(started);
    const seconds = ((user + system) / 1_000_000).toFixed(1);
    console.log(`${what}: ${states} states, ${steps} steps, ${depth} deep, ${seconds} s of one core`);
    if (counterexample === undefined) console.log('  nothing is broken in any of them');
    for (const [index, step] of (counterexample ?? []).entries()) console.log(`  ${index + 1}. ${step}`);
    if (sound !== (counterexample === undefined)) broken += 1;
  }
  console.log(broken === 0 ? 'as it has to be' : `${broken} are not as they have to be`);
  return broken === 0 ? 0 : 1;
}
