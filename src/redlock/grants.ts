import { within } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import { LockLostError } from '../core/errors.ts';
import type { Fencepost } from '../fencepost.ts';
import type { Lease } from '../lease/lease.ts';
import { ResourceLockedError } from './errors.ts';

/** The leases that one lock is made of: on each server that voted for it one for each resource. */
export class Grants {
  readonly #held = new Map<Fencepost, readonly Lease[]>();
  /** Takes under way, whose leases will be given back when the lock is over before they come. */
  readonly #taking = new Map<Fencepost, { resources: readonly string[]; over: Promise<void> }>();
  #closed = false;

  /** Takes all resources on one server, or none. What comes after the lock was given up is given back. */
  take(server: Fencepost, resources: readonly string[], ttl: number): Promise<void> {
    const over = this.#take(server, resources, ttl).finally(() => this.#taking.delete(server));
    this.#taking.set(server, { resources, over });
    return over;
  }

  async #take(server: Fencepost, resources: readonly string[], ttl: number): Promise<void> {
    const leases = await takeAll(server, resources, ttl);
    if (!this.#closed) this.#held.set(server, leases);
    else await giveBack(server, leases);
  }

  of(server: Fencepost): readonly Lease[] {
    return this.#held.get(server) ?? [];
  }

  /** On how many servers all of its leases are held, as far as this process knows. */
  get alive(): number {
    return [...this.#held.values()].filter((leases) => leases.every(isHeld)).length;
  }

  get all(): readonly Lease[] {
    return [...this.#held.values()].flat();
  }

  async extend(server: Fencepost, ttl: number): Promise<void> {
    await Promise.all(this.#present(server).map((lease) => lease.renew({ ttl })));
  }

  /** What comes from now on is given back. */
  close(): void {
    this.#closed = true;
    for (const [server, { resources, over }] of this.#taking) {
      for (const resource of resources) leaves(server, resource, over);
    }
  }

  async release(server: Fencepost): Promise<void> {
    const leases = this.#present(server);
    const lost = leases.find(({ state }) => state === 'lost');
    await giveBack(server, leases);
    if (lost !== undefined) throw lost.signal.reason as LockLostError;
  }

  /** After an attempt that failed: what is free again need not be waited for longer than this. */
  async abandon(clock: Clock, limit: number): Promise<void> {
    this.close();
    const leaving = [...this.#held].map(([server, leases]) => giveBack(server, leases));
    await within(clock, limit, Promise.all(leaving)).catch(() => {});
  }

  #present(server: Fencepost): readonly Lease[] {
    const leases = this.of(server);
    if (leases.length > 0) return leases;
    throw new ResourceLockedError('the lock holds nothing on this server');
  }
}

function isHeld({ state }: Lease): boolean {
  return state === 'held' || state === 'doubtful';
}

/** One after the other: of those who want some of the same resources, one gets all that it asks for. */
async function takeAll(server: Fencepost, resources: readonly string[], ttl: number): Promise<Lease[]> {
  const leases: Lease[] = [];
  const leaving = leavingOf(server);
  // Looked up at once: later this take may be among them itself.
  await Promise.all(resources.map((resource) => leaving.get(resource)));
  try {
    for (const resource of resources) {
      const lease = await server.leases.tryAcquire(resource, { ttl, renew: false, keep: true });
      if (lease === null) throw new ResourceLockedError(`${resource} is held by somebody else`);
      leases.push(lease);
    }
    const lost = leases.find((lease) => !isHeld(lease));
    if (lost !== undefined) throw new LockLostError(lost.key, 'expired');
    return leases;
  } catch (error) {
    await giveBack(server, leases);
    throw error;
  }
}

async function giveBack(server: Fencepost, leases: readonly Lease[]): Promise<void> {
  await Promise.all(
    leases.map((lease) => {
      const release = lease.release();
      leaves(server, lease.name, release);
      return release;
    }),
  );
}

/**
 * What this process is giving back, by its name. A release ends with the majority: the next acquire must not be refused by
 * the rest of it.
 */
const leavings = new WeakMap<Fencepost, Map<string, Promise<void>>>();

function leavingOf(server: Fencepost): Map<string, Promise<void>> {
  let leaving = leavings.get(server);
  if (leaving === undefined) {
    leaving = new Map();
    leavings.set(server, leaving);
  }
  return leaving;
}

function leaves(server: Fencepost, resource: string, work: Promise<void>): void {
  const leaving = leavingOf(server);
  const done = (): void => {
    if (leaving.get(resource) === over) leaving.delete(resource);
  };
  const over = work.then(done, done);
  leaving.set(resource, over);
}
