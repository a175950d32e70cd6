import type { Kysely } from 'kysely';
import { pause } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import { FencepostError, StaleTokenError } from '../core/errors.ts';
import { Commands, type Kind, type Pending } from '../session/commands.ts';
import { runIn } from '../session/transaction.ts';
import type { ClaimedKey } from '../sql/claim.ts';
import { type Return, readSettled } from '../sql/claim-columns-settle.ts';
import { type ClaimStatements, statementsOf } from '../sql/claim-statements.ts';
import type { ClaimTable } from '../sql/claim-table.ts';
import type { AnyTables } from './query-text.ts';
import { failureOf, type UserDatabase } from './user-database.ts';

/** Settles in one statement: enough to share its cost, few enough that nobody waits long for the others. */
const limit = 1_000;

/** How claims end, each only while the row still has its token. Those that come at one time share a statement. */
export class Settling {
  readonly #database: UserDatabase;
  readonly #table: ClaimTable;
  readonly #statements: ClaimStatements;
  readonly #clock: Clock;
  readonly #commands: Commands;
  readonly #complete: Kind<ClaimedKey, boolean>;
  readonly #return: Kind<ClaimedKey & Return, boolean>;

  constructor(database: UserDatabase, table: ClaimTable, clock: Clock) {
    this.#database = database;
    this.#table = table;
    this.#statements = statementsOf(table);
    this.#clock = clock;
    this.#commands = new Commands(async () => database, clock);
    const read = (rows: Parameters<typeof readSettled>[0], calls: readonly unknown[]): boolean[] =>
      readSettled(rows, calls.length);
    this.#complete = {
      limit,
      share: limit,
      statement: (claims) => this.#statements.completeRows(table, claims),
      read,
    };
    this.#return = {
      limit,
      share: limit,
      statement: (claims) => this.#statements.returnRows(table, claims),
      read,
    };
  }

  complete(
    key: string,
    claim: ClaimedKey,
    work?: (trx: Kysely<AnyTables>) => Promise<unknown>,
  ): Promise<void> {
    if (work !== undefined) return this.#completeWith(key, claim, work);
    return this.#commands.submit(this.#complete, claim).then((found) => {
      if (!found) throw new StaleTokenError(key, claim.token);
    });
  }

  /** The same without work, for who hears of it instead: false when the row has another token. */
  completeInCompany(pending: Pending<ClaimedKey, boolean>): void {
    this.#commands.enqueue(this.#complete, pending);
  }

  async fail(key: string, claim: ClaimedKey, error: string): Promise<void> {
    const aside = { ...claim, after: undefined, error, unused: false };
    if (!(await this.#commands.submit(this.#return, aside))) throw new StaleTokenError(key, claim.token);
  }

  /** Tries until it is done or `needed` says that the row is free anyway. */
  async giveBack(claim: ClaimedKey, way: Return, needed: () => boolean): Promise<void> {
    for (let pausing = 20; ; pausing = Math.min(pausing * 2, 500)) {
      try {
        await this.#commands.submit(this.#return, { ...claim, ...way });
        return;
      } catch (error) {
        if (!needed()) return;
        if (!(error instanceof FencepostError) || !error.retriable) throw error;
        await pause(this.#clock, pausing);
      }
    }
  }

  /** The first statement locks the row under its token; no takeover passes from there to the commit. */
  async #completeWith(
    key: string,
    claim: ClaimedKey,
    work: (trx: Kysely<AnyTables>) => Promise<unknown>,
  ): Promise<void> {
    let thrown: { readonly error: unknown } | undefined;
    try {
      await this.#database.transaction(async (trx, kysely) => {
        const pinned = await runIn('transaction', trx, this.#statements.pinRow(this.#table, claim));
        if (pinned.length === 0) throw new StaleTokenError(key, claim.token);
        try {
          await work(kysely);
        } catch (error) {
          thrown = { error };
          throw error;
        }
        // Under the lock only `work` itself can have changed the row: then it has settled it in its own way.
        await runIn('transaction', trx, this.#statements.completeRows(this.#table, [claim]));
      });
    } catch (error) {
      if (thrown !== undefined) throw thrown.error;
      throw failureOf(`complete ${key}`, error, this.#table.schema);
    }
  }
}
