import { inspect } from 'node:util';

/** What every error of Fencepost has: a literal `code`, whether trying again can help, and the `cause`. */
export abstract class FencepostError extends Error {
  abstract readonly code: string;
  /** True when the same call may succeed later without any change to it. */
  abstract readonly retriable: boolean;
  /** The name of the class. */
  override get name(): string {
    return this.constructor.name;
  }
}

/** An argument or an option is wrong. Nothing was sent to the database and nothing was lost. */
export class ArgumentError extends FencepostError {
  readonly code = 'ARGUMENT';
  readonly retriable = false;
  readonly argument: string;
  readonly expected: string;

  constructor(argument: string, expected: string, received: unknown) {
    super(`${argument}: expected ${expected}, got ${brief(received)}`);
    this.argument = argument;
    this.expected = expected;
  }
}

/** A method was called on something that is closed or in a state that does not allow the call. */
export class StateError extends FencepostError {
  readonly code = 'STATE';
  readonly retriable = false;
}

/** `wait` ran out before the lock was free. The caller's transaction, if there is one, stays usable. */
export class LockTimeoutError extends FencepostError {
  readonly code = 'LOCK_TIMEOUT';
  readonly retriable = true;
  readonly key: string;
  /** How long the call waited, in milliseconds. */
  readonly waited: number;

  constructor(key: string, waited: number) {
    super(`${key} was not free within ${Math.round(waited)} ms`);
    this.key = key;
    this.waited = waited;
  }
}

/**
/**
 * Why a lock was lost: it could not be renewed in time, its server session ended, what held it was closed, an operator
 * took it away, its attempt took longer than it may, or the workers that made it were stopped.
 */
export type LossReason =
  | 'expired'
  | 'failover'
  | 'connection'
  | 'closed'
  | 'revoked'
  | 'deadline'
  | 'shutdown';

export const lossTexts: Record<LossReason, string> = {
  expired: 'it could not be renewed in time',
  failover: 'a failover has undone the grant',
  connection: 'the server session that held it has ended',
  closed: 'what it was held by was closed',
  revoked: 'it was revoked',
  deadline: 'its deadline has passed',
  shutdown: 'its workers were stopped',
};

/** The lock was held and is not held any more. The reason of a handle's `signal`. */
export class LockLostError extends FencepostError {
  readonly code = 'LOCK_LOST';
  readonly retriable = true;
  readonly key: string;
  readonly reason: LossReason;

  constructor(key: string, reason: LossReason, options?: ErrorOptions) {
    super(`${key} was lost: ${lossTexts[reason]}`, options);
    this.key = key;
    this.reason = reason;
  }
}

/**
 * Postgres refused a write or a guard because the fencing token is not the current one: the lock was taken by
 * somebody else, released or revoked. The transaction it was raised in cannot commit.
 */
export class StaleTokenError extends FencepostError {
  readonly code = 'STALE_TOKEN';
  readonly retriable = false;
  readonly key: string;
  readonly token: bigint;

  constructor(key: string, token: bigint, options?: ErrorOptions) {
    super(`token ${token} of ${key} is stale: it was taken by another holder, released or revoked`, options);
    this.key = key;
    this.token = token;
  }
}

/** The connection goes through a pooler in a mode that the call cannot work with. */
export class PoolerError extends FencepostError {
  readonly code = 'POOLER';
  readonly retriable = false;
}

/** The schema in the database is missing, too old, too new or was altered. */
export class SchemaError extends FencepostError {
  readonly code = 'SCHEMA';
  readonly retriable = false;
}

/** The connection leads to a standby or a read-only server: locks are kept on the primary. */
export class StandbyError extends FencepostError {
  readonly code = 'STANDBY';
  readonly retriable = true;
}

/** A limit of the server or of Fencepost was reached. */
export class LimitError extends FencepostError {
  readonly code = 'LIMIT';
  readonly retriable = true;
}

/** What a `DatabaseError` is made of. */
export interface DatabaseFacts {
  readonly cause: unknown;
  readonly retriable: boolean;
  readonly sqlState: string | undefined;
  readonly inDoubt: boolean;
}

/** The database could not be reached, was lost during the call, or failed it. Never means that a lock is held. */
export class DatabaseError extends FencepostError {
  readonly code = 'DATABASE';
  readonly retriable: boolean;
  /** The SQLSTATE, or undefined when the server did not answer. */
  readonly sqlState: string | undefined;
  /**
   * True when what was asked may have been done: the answer was lost, or the commit is not known to be on the
   * synchronous standby that it had to wait for. An acquire has seen to it that nothing is left of it.
   */
  readonly inDoubt: boolean;

  constructor(message: string, facts: DatabaseFacts) {
    super(message, { cause: facts.cause });
    this.retriable = facts.retriable;
    this.sqlState = facts.sqlState;
    this.inDoubt = facts.inDoubt;
  }
}

/** Whether the same call may succeed later without any change to it. */
export function isRetriable(error: unknown): boolean {
  return error instanceof FencepostError && error.retriable;
}

function brief(value: unknown): string {
  const text = typeof value === 'bigint' ? `${value}n` : inspect(value, { depth: 1, breakLength: Infinity });
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
