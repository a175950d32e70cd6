import { StateError } from '../../core/errors.ts';
import { failedTransaction, staleToken } from '../../core/sqlstate.ts';
import type { TransactionAdapter } from '../../session/transaction.ts';
import type { LeaseTable } from './lease-table.ts';
import { Refused } from './lease-table.ts';
import type { LockTable } from './lock-table.ts';

/** `guard('tenant', 'name', 7, 0)`, with texts as our statements write them. */
const guards = /\.guard\(([^,]+(?:, 'hex'\), 'UTF8'\))?), (.+?), (\d+), (\d+)\)::text/g;

/**
 * A transaction of the double, for `guard` and for locks in a transaction: from the guard on nobody else gets the lease
 * until the transaction ends. It runs no SQL.
 */
export class MemoryTransaction implements TransactionAdapter, AsyncDisposable {
  readonly #leases: LeaseTable;
  readonly #locks: LockTable;
  #state: 'open' | 'refused' | 'ended' = 'open';

  /** @internal */
  constructor(leases: LeaseTable, locks: LockTable) {
    this.#leases = leases;
    this.#locks = locks;
  }

  /** What `guard` calls. Anything but a guard is refused: there is no database. */
  async runInTransaction(text: string): Promise<readonly unknown[]> {
    await Promise.resolve();
    this.assertOpen();
    const calls = [...text.matchAll(guards)];
    if (calls.length === 0)
      throw new StateError('a transaction of the double runs no SQL: it has guards and locks only');
    try {
      const rows = calls.map(([, tenant = '', name = '', token = '', slot = '']) =>
        this.#leases.guarded({ tenant: textOf(tenant), name: textOf(name) }, Number(slot), BigInt(token)),
      );
      for (const row of rows) row.guards.add(this);
      return [{ inside: 'true' }];
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#state = 'refused';
      throw serverError('stale fencing token', staleToken);
    }
  }

  /** Ends it. Rejects when a guard in it was refused: what it did is undone then, as Postgres would undo it. */
  async commit(): Promise<void> {
    const refused = this.#state === 'refused';
    await this.rollback();
    if (refused)
      throw serverError('the transaction was refused by a guard, and is rolled back', failedTransaction);
  }

  /** Ends it, and with it its guards and locks. */
  async rollback(): Promise<void> {
    this.#state = 'ended';
    for (const { guards: open } of this.#leases.rows.all()) open.delete(this);
    this.#locks.freeAll(this);
  }

  /** A rollback, unless it has ended. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.rollback();
  }

  /** @internal */
  assertOpen(): void {
    if (this.#state === 'ended') throw new StateError('the transaction has ended');
    if (this.#state === 'refused')
      throw serverError('the transaction was refused by a guard', failedTransaction);
  }
}

function textOf(literal: string): string {
  const hex = /^convert_from\(decode\('([0-9a-f]*)'/.exec(literal)?.[1];
  return hex === undefined ? literal.slice(1, -1) : Buffer.from(hex, 'hex').toString();
}

function serverError(message: string, code: string): Error {
  return Object.assign(new Error(message), { code, severity: 'ERROR' });
}
