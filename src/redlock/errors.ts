import { FencepostError } from '../core/errors.ts';
import type { ExecutionStats } from './ballot.ts';

/**
 * Why a majority of the servers could not be had:
 *
 * - `locked`: somebody else holds a resource.
 * - `unreachable`: too few servers answered, or in time.
 * - `lost`: the lock had expired, was taken away by an operator, or was released.
 */
export type FailureReason = 'locked' | 'unreachable' | 'lost';

/** One server's vote against: a resource is held by somebody else there, or this lock holds nothing there. */
export class ResourceLockedError extends FencepostError {
  readonly code = 'RESOURCE_LOCKED';
  readonly retriable = true;
}

/** What failed, and of whom. */
export interface ExecutionFacts extends ErrorOptions {
  readonly reason: FailureReason;
}

/** An operation found no majority. `reason` says why, `attempts` what each server said each time. */
export class ExecutionError extends FencepostError {
  readonly code = 'EXECUTION';
  readonly reason: FailureReason;
  /** One for each attempt; settled once every server has voted or its time was over. */
  readonly attempts: ReadonlyArray<Promise<ExecutionStats>>;

  constructor(message: string, attempts: ReadonlyArray<Promise<ExecutionStats>>, facts: ExecutionFacts) {
    super(message, 'cause' in facts ? { cause: facts.cause } : undefined);
    this.attempts = attempts;
    this.reason = facts.reason;
  }

  get retriable(): boolean {
    return this.reason !== 'lost';
  }
}

/** What the methods of version 4 fail with. The `ExecutionError` is its cause. */
export class LockError extends FencepostError {
  readonly code = 'EXECUTION';
  readonly reason: FailureReason;
  /** How many attempts were made. */
  readonly attempts: number;

  constructor({ message, attempts, reason }: ExecutionError, options?: ErrorOptions) {
    super(message, options);
    this.attempts = attempts.length;
    this.reason = reason;
  }

  get retriable(): boolean {
    return this.reason !== 'lost';
  }
}
