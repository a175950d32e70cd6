import type { HandleState } from '../../core/handle.ts';
import type { Elections } from '../../lease/elections.ts';
import type { Lease } from '../../lease/lease.ts';
import type { Leases } from '../../lease/leases.ts';
import type { CallerTransaction } from '../../session/transaction.ts';
import type { FrozenClock, Held } from '../faults.ts';

/** How a contract asks for a lock. */
export interface ContractOptions {
  /** Milliseconds. */
  readonly wait?: number;
  readonly signal?: AbortSignal;
}

/** A lock that was granted. Every handle of Fencepost has this shape. */
export interface ContractLock extends AsyncDisposable {
  readonly state: HandleState;
  readonly signal: AbortSignal;
  /** Where locks have one. */
  readonly token?: bigint | undefined;
  /** Throws when it is lost or was released. */
  assertHeld(): void;
  /** Gives it back; the second time nothing happens. */
  release(): Promise<void>;
}

/** What one process asks for locks. `fencepost.leases` and `fencepost.advisory` have this shape. */
export interface ContractLocks {
  /** Waits until it is free, for ever or as long as `wait` says. */
  acquire(key: string, options?: ContractOptions): Promise<ContractLock>;
  /** Answers `null` when it is not free, at once or within `wait`. */
  tryAcquire(key: string, options?: ContractOptions): Promise<ContractLock | null>;
}

/** Two processes on one database, made anew for each rule: no key is held yet. */
export interface LockSubject extends AsyncDisposable {
  readonly one: ContractLocks;
  readonly other: ContractLocks;
  /** Closes the first process. Not needed without `'close'`. */
  closeOne(): Promise<void>;
  /** Ends what holds a lock, as the death of its process would: `killHolder`. Not needed without `'loss'`. */
  kill(lock: ContractLock): Promise<void>;
  /** Stops the first process: `freezeClock`. Its locks need a short ttl then. Not needed without `'freeze'`. */
  freezeOne(): FrozenClock;
}

/** One process with leases: a `Fencepost`, or a double. */
export interface LeaseProcess {
  readonly leases: Leases;
  readonly elections: Elections;
}

/** A transaction that a guard can stand in. */
export interface ContractTransaction extends AsyncDisposable {
  readonly transaction: CallerTransaction;
  /** Rejects when a guard in it was refused. */
  commit(): Promise<void>;
}

/** Two processes with leases on one database, made anew for each rule: no key is held yet. */
export interface LeaseSubject extends AsyncDisposable {
  readonly one: LeaseProcess;
  readonly other: LeaseProcess;
  /** A transaction on the database that both use. Its dispose rolls back. */
  begin(): Promise<ContractTransaction>;
  /** Lets one lease expire: `expire`. */
  expire(lease: Lease): Promise<void>;
  /** Ends what holds it, as the death of its process would: `killHolder`. */
  kill(held: Held): Promise<void>;
  /** Stops the first process: `freezeClock`. */
  freezeOne(): FrozenClock;
}
