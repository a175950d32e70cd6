import type { Kysely, Transaction } from 'kysely';
import type { Duration } from '../core/duration.ts';
import { ArgumentError, type LossReason, StateError } from '../core/errors.ts';
import { type HoldingSubject, type SettleEvent, spans } from '../core/events.ts';
import { Handle, type Tenure } from '../core/handle.ts';
import { duration, optional, validate, withDefault } from '../core/options.ts';
import type { Pending } from '../session/commands.ts';
import type { ClaimedKey, ClaimedRow } from '../sql/claim.ts';
import type { Return } from '../sql/claim-columns-settle.ts';
import { Completion } from './completion.ts';
import type { AnyTables } from './query-text.ts';

/** How a row is given back. */
export interface ReleaseOptions {
  /** How long nobody can claim it. At once by default. */
  readonly after?: Duration | undefined;
  /** Why: kept with the row, for people. The attempt then counts, and after the last one the row is set aside. */
  readonly error?: unknown;
}

/** What a claim asks of those who made it. */
export interface ClaimKeeper {
  readonly table: string;
  /** The id of the holder that it lives on, if it does. */
  readonly holder: string | undefined;
  /** Fenced; rejects with a `StaleTokenError` when the row has another token. */
  complete(
    key: string,
    claim: ClaimedRow,
    work?: (trx: Kysely<AnyTables>) => Promise<unknown>,
  ): Promise<void>;
  /** The same without work and without a promise, where completions share a statement. */
  completeInCompany?(pending: Pending<ClaimedKey, boolean>): void;
  fail(key: string, claim: ClaimedRow, error: string): Promise<void>;
  /** Ends when the row is free, or not this claim's any more. */
  giveBack(claim: ClaimedRow, way: Return): Promise<void>;
  /** The process has nothing to do with it any more; with a reason, when it was lost. */
  ended(claim: ClaimedRow, index: number, reason: LossReason | undefined): void;
  readonly maxAttempts: number;
  /** Whether a row can be given back for later, and with a reason. */
  readonly keepsReturns: boolean;
}

/**
 * A row that this process claimed. It is nobody else's as long as the process lives and the claim is not settled;
 * nothing is written to it meanwhile. `signal` aborts before the server lets anybody else have it. The one way to be
 * sure at the end is to complete it: Postgres refuses when the row was taken.
 */
export class Claim<Row, DB> extends Handle {
  readonly key: string;
  /** As it was claimed. */
  readonly row: Row;
  /** Greater than the token of every earlier claim of the row. */
  readonly token: bigint;
  /** Which attempt this is, counted from 1. Always 1 in storage `held`, which keeps no count. */
  readonly attempt: number;
  readonly #keeper: ClaimKeeper;
  readonly #tenure: Tenure;
  readonly #claimed: ClaimedRow;
  readonly #index: number;
  #way = asItWas;
  #settling: { readonly over: Promise<void> } | undefined;
  #outcome: 'completed' | 'failed' | undefined;

  /** `index`: which it is of those that were claimed with it. @internal */
  constructor(keeper: ClaimKeeper, tenure: Tenure, key: string, claimed: ClaimedRow, index = 0) {
    super(tenure);
    this.key = key;
    this.#index = index;
    this.#keeper = keeper;
    this.#tenure = tenure;
    this.#claimed = claimed;
    this.row = claimed.row as Row;
    this.token = claimed.token;
    this.attempt = claimed.attempt;
  }

  /**
   * Completes the row as `done` says. With `work`, what that writes and the completion are one transaction, and its
   * first statement locks the row under this claim's token: nobody can take it before the commit. When `work` throws,
   * nothing was written, and the claim is still held. Without `work`, completions that come at one time share a
   * statement.
   *
   * A claim that is `lost` can be completed as long as nobody took the row: Postgres decides, not this process.
   *
   * @throws StaleTokenError when somebody else has the row by now, or it was settled; whatever `work` throws;
   * DatabaseError when the database fails, with `inDoubt` when the completion may have been done
   *
   * @example
   * await claim.complete(async (trx) => {
   *   await trx.insertInto('ledger').values({ order_id: claim.row.id }).execute();
   * });
   */
  complete(work?: (trx: Transaction<DB>) => Promise<unknown>): Promise<void> {
    if (work !== undefined) {
      return this.#settle('completed', () =>
        this.#keeper.complete(this.key, this.#claimed, (trx) => work(trx as unknown as Transaction<DB>)),
      );
    }
    const completion = new Completion(this);
    const refused = this.begin(completion);
    return refused === undefined ? completion.over : Promise.reject(refused);
  }

  /** @internal */
  protected get tenure(): Tenure {
    return this.#tenure;
  }

  /** @internal */
  get claimed(): ClaimedRow {
    return this.#claimed;
  }

  /** Begins a completion without work; answers why not, if not. @internal */
  begin(completion: Completion): StateError | undefined {
    if (this.#settling !== undefined || this.releasing) return this.#settledAlready();
    this.#settling = completion;
    const keeper = this.#keeper;
    if (keeper.completeInCompany !== undefined && !spans.settle.hasSubscribers) {
      keeper.completeInCompany(completion);
      return undefined;
    }
    this.#told('completed', () => keeper.complete(this.key, this.#claimed)).then(
      () => completion.resolve(true),
      (error: unknown) => completion.reject(error),
    );
    return undefined;
  }

  /** @internal */
  completed(): void {
    this.#settling = settled;
    this.#outcome = 'completed';
    if (this.lossReason === undefined) this.given();
  }

  /** @internal */
  notCompleted(): void {
    this.#settling = undefined;
  }

  /**
   * Sets the row aside at once, whatever attempts it has left: it is claimed again only after a `retry`.
   *
   * @throws StaleTokenError when somebody else has the row by now, or it was settled; StateError in storage `held`,
   * which has nowhere to set it
   */
  fail(error: unknown): Promise<void> {
    return this.#settle('failed', () => this.#keeper.fail(this.key, this.#claimed, textOf(error)));
  }

  /**
   * Gives the row back, for another attempt: at once or `after` a while. Without an `error` the attempt does not count.
   * A row that somebody else has by now is left alone. In storage `held` it is always at once, and nothing counts.
   *
   * @throws ArgumentError in storage `held` for `after` and `error`, which it cannot keep
   */
  override async release(options?: ReleaseOptions): Promise<void> {
    const { after, error } = validate('options', options, {
      after: withDefault(duration(), 0),
      error: optional((_, value) => value),
    });
    if (!this.#keeper.keepsReturns && (after > 0 || error !== undefined)) {
      throw new ArgumentError(
        'options',
        `nothing: storage 'held' keeps no time and no error of a row`,
        options,
      );
    }
    await this.#settling?.over.catch(() => {});
    const spent = error !== undefined && this.attempt >= this.#keeper.maxAttempts;
    this.#way = {
      after: spent ? undefined : after,
      error: error === undefined ? undefined : textOf(error),
      unused: error === undefined,
    };
    return super.release();
  }

  /** Whether it was completed, failed or given back, by this process and as far as it has heard. */
  get settled(): boolean {
    return this.outcome !== undefined;
  }

  /** How it was settled. One that was given back with an error counts as failed, as far as this attempt goes. */
  get outcome(): 'completed' | 'failed' | 'released' | undefined {
    if (this.#outcome !== undefined || !this.releasing) return this.#outcome;
    return this.#way.error === undefined ? 'released' : 'failed';
  }

  /** @internal */
  about(): HoldingSubject {
    const { table, holder } = this.#keeper;
    const subject = { kind: 'claim' as const, key: this.key, family: table, tenant: '' };
    return { ...subject, mode: 'exclusive', handle: this, token: this.token, holder };
  }

  /** @internal */
  protected async giveBack(): Promise<void> {
    if (this.#outcome !== undefined) return;
    const outcome = this.#way.error === undefined ? 'released' : 'failed';
    await this.#told(outcome, () => this.#keeper.giveBack(this.#claimed, this.#way));
  }

  #told(outcome: SettleEvent['outcome'], work: () => Promise<void>): Promise<void> {
    if (!spans.settle.hasSubscribers) return work();
    return spans.settle.tracePromise(work, { ...this.about(), outcome, attempt: this.attempt });
  }

  /** @internal */
  protected ended(): void {
    this.#keeper.ended(this.#claimed, this.#index, this.#outcome === undefined ? this.lossReason : undefined);
  }

  #settle(outcome: 'completed' | 'failed', work: () => Promise<void>): Promise<void> {
    if (this.#settling !== undefined || this.releasing) return Promise.reject(this.#settledAlready());
    const over = this.#told(outcome, work).then(
      () => {
        this.#outcome = outcome;
        if (this.lossReason === undefined) this.given();
      },
      (error: unknown) => {
        this.#settling = undefined;
        throw error;
      },
    );
    this.#settling = { over };
    return over;
  }

  #settledAlready(): StateError {
    return new StateError(`${this.key} was settled already`);
  }
}

const asItWas: Return = { after: 0, error: undefined, unused: true };
const settled = { over: Promise.resolve() };

const longestError = 2_000;

function textOf(error: unknown): string {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.replaceAll('\0', '').toWellFormed().slice(0, longestError).toWellFormed();
}
