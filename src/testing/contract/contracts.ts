import { leaseRules } from './lease-rules.ts';
import { type LockFeature, lockRules } from './lock-rules.ts';
import type { LeaseSubject, LockSubject } from './subject.ts';

/** How a contract is told to a test runner: `node:test`, vitest, jest and others with the same two functions. */
export interface Runner {
  /** Of the runner: groups tests. */
  describe(name: string, tests: () => void): unknown;
  /** Of the runner: declares a test. */
  test(name: string, run: () => Promise<void>): unknown;
}

/** What a contract of locks needs. */
export interface LockContractOptions extends Runner {
  /** What the group of tests is called. `'locks'` by default. */
  readonly name?: string;
  /** Makes what is tested, anew for each rule; it is disposed of afterwards. */
  make(): Promise<LockSubject>;
  /** What it does not have: the rules about it are left out. Nothing by default. */
  readonly without?: readonly LockFeature[];
}

/** What a contract of leases needs. */
export interface LeaseContractOptions extends Runner {
  /** What the group of tests is called. `'leases'` by default. */
  readonly name?: string;
  /** Makes what is tested, anew for each rule; it is disposed of afterwards. */
  make(): Promise<LeaseSubject>;
}

/**
 * Declares one test for each promise that locks of Fencepost keep, whatever kind they are: for your own wrapper around
 * them. Those of Fencepost itself and of the double are tested with it.
 *
 * @example
 * lockContract({ describe, test, name: 'our job locks', without: ['tokens'], make: async () => twoProcesses() });
 */
export function lockContract({
  describe,
  test,
  make,
  name = 'locks',
  without = [],
}: LockContractOptions): void {
  describe(name, () => {
    for (const rule of lockRules) {
      if (rule.needs !== undefined && without.includes(rule.needs)) continue;
      test(rule.name, async () => {
        await using subject = await make();
        await rule.run(subject);
      });
    }
  });
}

/**
 * Declares one test for each promise that leases keep beyond those of `lockContract`: guards, expiry, slots, readers and
 * writers, revocation, hand-over, elections.
 *
 * @example
 * leaseContract({ describe, test, make: async () => twoProcesses() });
 */
export function leaseContract({ describe, test, make, name = 'leases' }: LeaseContractOptions): void {
  describe(name, () => {
    for (const rule of leaseRules) {
      test(rule.name, async () => {
        await using subject = await make();
        await rule.run(subject);
      });
    }
  });
}
