import type { Kysely } from 'kysely';
import type { Chain, Place } from '../core/chain.ts';
import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import { type LossReason, lossTexts } from '../core/errors.ts';
import type { Holding, Tenure } from '../core/handle.ts';
import type { Holder } from '../holder/holder.ts';
import type { Pending } from '../session/commands.ts';
import type { ClaimedKey, ClaimedRow } from '../sql/claim.ts';
import type { Return } from '../sql/claim-columns-settle.ts';
import type { Claim, ClaimKeeper } from './claim.ts';
import type { Definition } from './definition.ts';
import type { AnyTables } from './query-text.ts';
import type { RegisteredRows } from './register.ts';
import type { Settling } from './settling.ts';

/** What all claims of a definition have in common. */
export interface BatchContext {
  readonly definition: Definition;
  readonly settling: Settling;
  readonly clock: Clock;
}

/** Of a claim in a batch: the batch itself has the place. */
const inBatch: Place = { leave() {} };

/**
 * Claims that one statement made. They have one place on their holder, one deadline and one way to be settled: kept for
 * each of them, that was most of what a claim cost this process.
 */
export class ClaimedBatch<Row, DB> implements Tenure, Holding, ClaimKeeper {
  readonly table: string;
  readonly holder: string;
  readonly maxAttempts: number;
  readonly keepsReturns = true;
  readonly #context: BatchContext;
  readonly #holder: Holder;
  readonly #registered: RegisteredRows;
  readonly #claims: (Claim<Row, DB> | undefined)[] = [];
  readonly #places: readonly Place<ClaimedBatch<Row, DB>>[];
  readonly #started: Moment;
  #left = 0;
  #cancel = (): void => {};

  constructor(
    context: BatchContext,
    holder: Holder,
    registered: RegisteredRows,
    among: Chain<ClaimedBatch<Row, DB>>,
  ) {
    const { definition, clock } = context;
    this.table = definition.name;
    this.holder = holder.id;
    this.maxAttempts = definition.shape.maxAttempts;
    this.#context = context;
    this.#holder = holder;
    this.#registered = registered;
    this.#places = [holder.add(this), among.add(this)];
    this.#started = clock.now();
    if (definition.deadline !== Infinity) this.#watch();
  }

  /** Those that have not ended. */
  get claims(): Claim<Row, DB>[] {
    return this.#claims.filter((claim) => claim !== undefined);
  }

  /** Puts a claim at the next index, which is that of its row in the register. */
  put(claim: Claim<Row, DB>): void {
    this.#claims.push(claim);
    this.#left += 1;
  }

  get doubtful(): boolean {
    return this.#holder.doubtful;
  }

  remaining(): number {
    return this.#holder.remaining();
  }

  add(): Place {
    return inBatch;
  }

  die(): Promise<void> {
    return this.#holder.die();
  }

  lose(reason: LossReason, cause?: unknown): void {
    for (const claim of this.claims) claim.lose(reason, cause);
  }

  complete(key: string, row: ClaimedRow, work?: (trx: Kysely<AnyTables>) => Promise<unknown>): Promise<void> {
    return this.#context.settling.complete(key, row, work);
  }

  completeInCompany(pending: Pending<ClaimedKey, boolean>): void {
    this.#context.settling.completeInCompany(pending);
  }

  fail(key: string, row: ClaimedRow, error: string): Promise<void> {
    return this.#context.settling.fail(key, row, error);
  }

  giveBack(row: ClaimedRow, way: Return): Promise<void> {
    return this.#context.settling.giveBack(row, way, () => this.#holder.live);
  }

  ended(row: ClaimedRow, index: number, reason: LossReason | undefined): void {
    this.#claims[index] = undefined;
    this.#left -= 1;
    if (this.#left === 0) {
      this.#cancel();
      for (const place of this.#places) place.leave(this);
    }
    // Lost for the process, and not by it: the holder lives on, and the row with it.
    if (reason === undefined || !this.#holder.live) this.#registered.strike(index);
    else void this.#expel(row, reason).finally(() => this.#registered.strike(index));
  }

  async #expel(row: ClaimedRow, reason: LossReason): Promise<void> {
    const unused = reason === 'shutdown';
    const after = !unused && row.attempt >= this.maxAttempts ? undefined : 0;
    const error = unused ? undefined : lossTexts[reason];
    await this.giveBack(row, { after, error, unused }).catch(() => {});
  }

  #watch(): void {
    const { definition, clock } = this.#context;
    const left = definition.deadline - elapsed(this.#started, clock.now());
    this.#cancel = clock.after(Math.max(1, left), () => {
      if (elapsed(this.#started, clock.now()) < definition.deadline) this.#watch();
      else this.lose('deadline');
    });
  }
}
