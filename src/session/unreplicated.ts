import { DatabaseError } from '../core/errors.ts';
import type { Row } from '../sql/statement.ts';

/** Where Postgres warns from when it gives up the wait for a synchronous standby. The text of it is translated. */
const syncRepRoutine = 'SyncRepWaitForLSN';

/**
 * The wait for the synchronous standby was cancelled: what was asked is committed on the primary, and a failover may
 * undo it. The server reports success with a warning; here it is none.
 */
export class UnreplicatedError extends DatabaseError {
  /** What the statement answered. */
  readonly rows: readonly Row[];

  constructor(name: string, warning: unknown, rows: readonly Row[]) {
    const message = `${name} is committed on the primary, and not known to be on its synchronous standby: the wait for it was cancelled`;
    super(message, { cause: warning, retriable: true, sqlState: undefined, inDoubt: true });
    this.rows = rows;
  }

  /** To callers it is a `DatabaseError`. */
  override get name(): string {
    return 'DatabaseError';
  }
}

export function isSyncRepWarning(notice: object): boolean {
  return 'routine' in notice && notice.routine === syncRepRoutine;
}
