import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';

/** The lease lives this long after its holder was last heard of. */
export const ttlMs = 1_000;
export const accounts = ['cash', 'savings', 'fees'] as const;

/** Money to be moved within one tenant, in the order of the numbers. */
export interface Transfer {
  readonly tenant: string;
  readonly number: number;
  readonly source: string;
  readonly target: string;
  readonly amount: number;
  /** How long the bank takes to answer, in milliseconds. */
  readonly bank_ms: number;
}

/** Something done to a worker, `at` milliseconds after the start of a run. */
export interface Blow {
  readonly at: number;
  readonly worker: number;
  readonly act: 'freeze' | 'wake' | 'kill' | 'replace';
  /** For how long it is frozen or missing. */
  readonly forMs: number;
}

/** All that chance decides before a run: the same seed gives the same plan. */
export interface Plan {
  readonly tenants: readonly string[];
  readonly transfers: readonly Transfer[];
  readonly blows: readonly Blow[];
}

export function makePlan(options: { seed: number; workers: number; seconds: number }): Plan {
  const { seed, workers, seconds } = options;
  const random = xoroshiro128plus(seed);
  const between = (min: number, max: number): number => uniformInt(random, min, max);
  // Two workers for each tenant, so that somebody waits for a lease whose holder is gone.
  const tenants = Array.from({ length: Math.min(8, Math.max(2, Math.ceil(workers / 2))) }, (_, i) => {
    return `tenant-${String.fromCharCode(97 + i)}`;
  });
  return {
    tenants,
    // Ten a second for each tenant are more than its workers can do.
    transfers: tenants.flatMap((tenant) => planTransfers(tenant, seconds * 10 + 50, between)),
    blows: planBlows(workers, seconds * 1_000, between),
  };
}

type Between = (min: number, max: number) => number;

function planTransfers(tenant: string, count: number, between: Between): Transfer[] {
  return Array.from({ length: count }, (_, index) => {
    const source = between(0, accounts.length - 1);
    const target = (source + between(1, accounts.length - 1)) % accounts.length;
    return {
      tenant,
      number: index + 1,
      source: accounts[source] ?? '',
      target: accounts[target] ?? '',
      amount: between(1, 500),
      bank_ms: between(50, 250),
    };
  });
}

/** About one blow in 700 ms, each to a worker that is up, never to more than half of them at a time. */
function planBlows(workers: number, untilMs: number, between: Between): Blow[] {
  const blows: Blow[] = [];
  const downUntil = new Map<number, number>();
  for (let at = between(300, 900); ; at += between(400, 1_000)) {
    const kill = between(1, 5) === 1;
    const forMs = kill ? between(200, 500) : between(ttlMs + 300, ttlMs + 1_700);
    if (at + ttlMs + 1_700 > untilMs) return blows.sort((a, b) => a.at - b.at);
    const up = Array.from({ length: workers }, (_, i) => i + 1).filter((n) => (downUntil.get(n) ?? 0) < at);
    if (up.length <= workers / 2) continue;
    const worker = up[between(0, up.length - 1)] ?? 1;
    // A new process needs about half a second until it works.
    downUntil.set(worker, at + forMs + (kill ? 500 : 0));
    blows.push({ at, worker, act: kill ? 'kill' : 'freeze', forMs });
    blows.push({ at: at + forMs, worker, act: kill ? 'replace' : 'wake', forMs });
  }
}
