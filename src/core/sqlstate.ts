import { DatabaseError, FencepostError, LimitError, SchemaError, StandbyError } from './errors.ts';

// https://www.postgresql.org/docs/current/errcodes-appendix.html
export const staleToken = 'FP001';
export const holderExpired = 'FP002';
export const holderFenced = 'FP003';
export const wrongIsolation = 'FP004';
/** The claims of a table name its rows otherwise than it is asked for. */
const otherNames = 'FP005';
/** The tokens go on in another database system, until this one is adopted. */
const otherSystem = 'FP010';
export const lockNotAvailable = '55P03';
export const queryCanceled = '57014';
/** A savepoint is refused: outside of a transaction block, and in one that has failed. */
export const noTransaction = '25P01';
export const failedTransaction = '25P02';
export const invalidValue = '22023';

const absent = new Set(['3F000', '42P01', '42883', '42703']);
const limits = new Set(['53000', '53100', '53200', '53300', '54000']);
/** Serialisation failure, deadlock, lock timeout: the statement did nothing, the connection is well. */
const collisions = new Set(['40001', '40P01', '55P03']);
/** The server ended the session, or does not take new ones yet. */
const ended = new Set(['57P01', '57P02', '57P03', '57P04', '57P05', '25P03', '25P04']);

export function sqlStateOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  // A SQLSTATE has five characters; Node's own codes (ECONNRESET) are longer or come without a severity.
  return typeof error.code === 'string' && /^[0-9A-Z]{5}$/.test(error.code) && 'severity' in error
    ? error.code
    : undefined;
}

export function hasState(error: unknown, sqlState: string): boolean {
  return error instanceof DatabaseError && error.sqlState === sqlState;
}

/**
 * A row that the statement wanted to lock was taken since the transaction's snapshot (REPEATABLE READ and above): of
 * all serialisation failures the one that comes from locking rows. Only a takeover touches a lease so that it fails.
 */
export function isOlderThanTakeover(error: unknown): boolean {
  const locking = error instanceof Error && 'routine' in error && error.routine === 'ExecLockRows';
  return locking && sqlStateOf(error) === '40001';
}

/** The statement was refused because of what others do at this moment: it can be sent again as it is. */
export function isCollision(error: unknown): boolean {
  return error instanceof DatabaseError && error.sqlState !== undefined && collisions.has(error.sqlState);
}

/** What the driver threw, as one of our errors. `doing` completes "could not ...". */
export function databaseFailure(doing: string, cause: unknown, schema?: string): FencepostError {
  // A connection knows nothing of the schema: for who does, the same failure may say more.
  if (cause instanceof DatabaseError && cause.sqlState !== undefined && schema !== undefined) {
    return databaseFailure(doing, cause.cause, schema);
  }
  if (cause instanceof FencepostError) return cause;
  const sqlState = sqlStateOf(cause);
  const text = reasonOf(cause);
  const message = `could not ${doing}: ${text}`;
  if (sqlState === undefined)
    return new DatabaseError(message, { cause, retriable: true, sqlState, inDoubt: false });
  if (sqlState === '25006') return new StandbyError(message, { cause });
  // The server says what to do: who asks may not know the schema.
  if (sqlState === otherSystem || sqlState === otherNames) return new SchemaError(text, { cause });
  if (limits.has(sqlState)) return new LimitError(message, { cause });
  if (schema !== undefined && absent.has(sqlState)) {
    return new SchemaError(
      `schema "${schema}" lacks what this version needs (${text}): run "${migrateCommand(schema)}"`,
      { cause },
    );
  }
  if (schema !== undefined && sqlState === '42501') {
    return new SchemaError(
      `${text}: run "${migrateCommand(schema)} --grant <role>" as the owner of schema "${schema}"`,
      { cause },
    );
  }
  const retriable = collisions.has(sqlState) || ended.has(sqlState) || sqlState.startsWith('08');
  return new DatabaseError(message, { cause, retriable, sqlState, inDoubt: false });
}

/** What to run so that a schema has what this release needs. */
export function migrateCommand(schema: string): string {
  return commandFor('migrate', schema);
}

/** What to say of a schema whose tokens go on elsewhere. `next_token` says the same. */
export function notAdopted(schema: string): string {
  return (
    `schema "${schema}" comes from another database system (a restore, a copy or an upgrade), which may have given out ` +
    'greater tokens: make sure that nothing uses that one any more, then run ' +
    `"${commandFor('adopt', schema)}"`
  );
}

function commandFor(command: string, schema: string): string {
  return `fencepost ${command}${schema === 'fencepost' ? '' : ` --schema '${schema}'`}`;
}

/** A host with several addresses fails with an AggregateError, which has a code and no message. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.message || ('code' in cause ? String(cause.code) : cause.name);
}
