import type { Kysely } from 'kysely';
import { pause } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import { FencepostError, StaleTokenError } from '../core/errors.ts';
import { Commands, type Kind, type Pending } from '../session/commands.ts';
import { runIn } from '../session/transaction.ts';
import type { ClaimedKey } from '../sql/claim.ts';
import { readCompleted } from '../sql/claim-batches.ts';
import { type Return, readSettled } from '../sql/claim-columns-settle.ts';
import { type ClaimStatements, statementsOf } from '../sql/claim-statements.ts';
import type { ClaimTable } from '../sql/claim-table.ts';
import type { AnyTables } from './query-text.ts';
import { failureOf, type UserDatabase } from './user-database.ts';

/** Settles in one statement: enough to share its cost, few enough that nobody waits long for the others. */
const limit = 1_000;

/**
 * Of claims in batches: whole ones. In parts, each part would wait for the one before it, which has their batch locked,
 * and a batch that is settled in part costs each claim more than one that is not: 27 us a row were 22 (batches of 3,000).
 */
const wholeBatches = 10_000;

/** Claims that are in batches are not settled in one statement with others. */
interface ByKeeping<Input> {
  readonly single: Kind<Input, boolean>;
  readonly batched: Kind<Input, boolean>;
}

function kindOf<Input>(kinds: ByKeeping<Input>, { place }: ClaimedKey): Kind<Input, boolean> {
  return place === null ? kinds.single : kinds.batched;
}

/** How claims end, each only while the row still has its token. Those that come at one time share a statement. */
export class Settling {
  readonly #database: UserDatabase;
  readonly #table: ClaimTable;
  readonly #statements: ClaimStatements;
  readonly #clock: Clock;
  readonly #commands: Commands;
  readonly #complete: ByKeeping<ClaimedKey>;
  readonly #return: ByKeeping<ClaimedKey & Return>;

  constructor(database: UserDatabase, table: ClaimTable, clock: Clock) {
    this.#database = database;
    this.#table = table;
    this.#statements = statementsOf(table);
    this.#clock = clock;
    this.#commands = new Commands(async () => database, clock);
    const read = (rows: Parameters<typeof readSettled>[0], calls: readonly unknown[]): boolean[] =>
      readSettled(rows, calls.length);
    const complete = {
      limit,
      share: limit,
      statement: (claims: readonly ClaimedKey[]) => this.#statements.completeRows(table, claims),
      read,
    };
    const giveBack = {
      limit,
      share: limit,
      statement: (claims: readonly (ClaimedKey & Return)[]) => this.#statements.returnRows(table, claims),
      read,
    };
    const whole = { limit: wholeBatches, share: wholeBatches };
    this.#complete = { single: complete, batched: { ...complete, ...whole, read: readCompleted } };
    this.#return = { single: giveBack, batched: { ...giveBack } };
  }

  complete(
    key: string,
    claim: ClaimedKey,
    work?: (trx: Kysely<AnyTables>) => Promise<unknown>,
  ): Promise<void> {
    if (work !== undefined) return this.#completeWith(key, claim, work);
    return this.#commands.submit(kindOf(this.#complete, claim), claim).then((found) => {
      if (!found) throw new StaleTokenError(key, claim.token);
    });
  }

  /** The same without work, for who hears of it instead: false when the row has another token. */
  completeInCompany(pending: Pending<ClaimedKey, boolean>): void {
    this.#commands.enqueue(kindOf(this.#complete, pending.call), pending);
  }

  async fail(key: string, claim: ClaimedKey, error: string): Promise<void> {
    const aside = { ...claim, after: undefined, error, unused: false };
    if (!(await this.#commands.submit(kindOf(this.#return, aside), aside)))
      throw new StaleTokenError(key, claim.token);
  }

  /** Tries until it is done or `needed` says that the row is free anyway. */
  async giveBack(claim: ClaimedKey, way: Return, needed: () => boolean): Promise<void> {
    for (let pausing = 20; ; pausing = Math.min(pausing * 2, 500)) {
      try {
        await this.#commands.submit(kindOf(this.#return, claim), { ...claim, ...way });
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
        const completing = this.#statements.completeRows(this.#table, [claim], true);
        const completed = await runIn('transaction', trx, completing);
        // Under the lock only `work` itself can have changed the row: then it has settled it in its own way. A batch is
        // not locked, and its answer says that the claim was given back meanwhile, as for a deadline.
        if (claim.place !== null && !readCompleted(completed, [claim])[0])
          throw new StaleTokenError(key, claim.token);
      });
    } catch (error) {
      if (thrown !== undefined) throw thrown.error;
      throw failureOf(`complete ${key}`, error, this.#table.schema);
    }
  }
}
