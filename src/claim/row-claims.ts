import type { Selectable } from 'kysely';
import { within } from '../core/abort.ts';
import { ArgumentError } from '../core/errors.ts';
import { type ClaimEvent, spans } from '../core/events.ts';
import { integer, optional, storableText, validate, withDefault } from '../core/options.ts';
import type { Holder } from '../holder/holder.ts';
import { closedError } from '../session/database.ts';
import type { ClaimTable } from '../sql/claim-table.ts';
import type { Claim } from './claim.ts';
import type { ColumnOf, definitionOf } from './definition.ts';
import { examine } from './doctor.ts';
import type { ClaimFinding } from './findings.ts';
import type { Handler } from './handlers.ts';
import { HeldRows } from './held-rows.ts';
import { LivingRows } from './living-rows.ts';
import { type PrepareOptions, Preparing } from './preparing.ts';
import type { ClaimContext } from './register.ts';
import type { AsideRow, RowStore } from './row-store.ts';
import { UserDatabase } from './user-database.ts';
import { Waking } from './waking.ts';
import type { WorkOptions } from './work-options.ts';
import { Workers, type WorkSource } from './workers.ts';

/** How many rows are claimed, and whose. */
export interface ClaimLimits {
  /** Never more than this. 1 by default. */
  readonly limit?: number | undefined;
  /** Only rows whose `tenant` column has this value. */
  readonly tenant?: string | number | bigint | undefined;
}

/** The key of a row: the value of its only column, or the values of all of them in the order of the definition. */
export type RowKey = string | number | bigint | readonly (string | number | bigint)[];

const mostRows = 10_000;
/** Longest time that `close` tries to give rows back, in milliseconds. */
const closeLimit = 5_000;

/** Claims of the rows of one table, as one definition has them. */
export class RowClaims<DB, Table extends keyof DB & string> {
  readonly #context: ClaimContext;
  readonly #definition: ReturnType<typeof definitionOf>;
  readonly #database: UserDatabase;
  readonly #preparing: Preparing;
  readonly #rows: RowStore<Selectable<DB[Table]>, DB>;
  readonly #workers = new Set<Workers<Selectable<DB[Table]>, DB>>();
  #closed: boolean;

  /** @internal */
  constructor(context: ClaimContext, definition: ReturnType<typeof definitionOf>, closed: boolean) {
    this.#closed = closed;
    this.#context = context;
    this.#definition = definition;
    this.#database = new UserDatabase(definition.db, context.schema);
    this.#preparing = new Preparing(this.#database, definition.shape);
    this.#rows =
      definition.shape.storage === 'held'
        ? new HeldRows(context, definition, this.#database)
        : new LivingRows(context, definition, this.#database);
  }

  /** The statements that give the table what its claims need, for your own migration. Sends nothing. */
  ddl(options?: PrepareOptions<ColumnOf<DB, Table>>): string {
    return this.#preparing.ddl(options);
  }

  /**
   * Runs what `ddl()` prints, as far as it is not there yet, and forgets what is kept of rows that are gone. While an index is built, writes to the table wait: for a
   * large table in use put `ddl()` into a migration, with `create index concurrently`.
   */
  async ensure(options?: PrepareOptions<ColumnOf<DB, Table>>): Promise<void> {
    await this.#preparing.ensure(options);
    await this.#rows.forget(await this.#table());
  }

  /**
   * Claims the first rows that nobody has, in one statement on your own pool: never more than `limit`, with those of
   * workers that died. Rows whose attempts are used up are set aside on the way.
   *
   * @throws ArgumentError for wrong arguments, or a table that does not fit; SchemaError when its columns are missing;
   * DatabaseError when the database fails; LockLostError when the answer came later than the ttl; LimitError in storage
   * `held` when all its connections are taken by claims
   *
   * @example
   * for (const claim of await orders.claim({ limit: 50 })) await claim.complete();
   */
  claim(limits?: ClaimLimits): Promise<Claim<Selectable<DB[Table]>, DB>[]> {
    return this.#claim(limits, true);
  }

  async #claim(
    limits: ClaimLimits | undefined,
    inOrder: boolean,
  ): Promise<Claim<Selectable<DB[Table]>, DB>[]> {
    const { limit, tenant } = validate('options', limits, {
      limit: withDefault(integer({ min: 1, max: mostRows }), 1),
      tenant: optional((argument, value) => this.#tenantOf(argument, value)),
    });
    const table = await this.#table();
    return this.#told(limit, () => this.#rows.claim(table, limit, tenant, inOrder));
  }

  /**
   * Claims those of the rows with these keys that nobody has, as `where` and attempts allow: a lease on a row of yours.
   * They come in no particular order.
   */
  async claimKeys(keys: readonly RowKey[]): Promise<Claim<Selectable<DB[Table]>, DB>[]> {
    const asked = this.#keysOf(keys);
    if (asked.length === 0) return [];
    const table = await this.#table();
    return this.#told(asked.length, () => this.#rows.claimKeys(table, asked));
  }

  /** Rows that were set aside: their attempts are used up, or somebody said `fail`. */
  async aside(limits?: ClaimLimits): Promise<AsideRow<Selectable<DB[Table]>>[]> {
    const { limit, tenant } = validate('options', limits, {
      limit: withDefault(integer({ min: 1, max: mostRows }), 100),
      tenant: optional((argument, value) => this.#tenantOf(argument, value)),
    });
    return this.#rows.aside(await this.#table(), limit, tenant);
  }

  /** Lets rows that were set aside or wait be claimed again, at once and with all their attempts; answers how many. */
  async retry(keys: readonly RowKey[]): Promise<number> {
    const asked = this.#keysOf(keys);
    if (asked.length === 0) return 0;
    return this.#rows.retry(await this.#table(), asked);
  }

  /** What makes these claims slow, and how to mend it: nothing when all is well. It reads, and claims nothing. */
  async doctor(): Promise<ClaimFinding[]> {
    const table = await this.#table();
    return examine(this.#context, this.#database, table, await this.#preparing.missingIndexes());
  }

  /**
   * Works on the rows as they come, until it is stopped: a handler that returns completes its row, one that throws gives
   * it back for a later attempt.
   *
   * @example
   * await using workers = orders.work({ concurrency: 16 }, async (claim) => {
   *   await claim.complete(async (trx) => send(trx, claim.row));
   * });
   */
  work(
    options: WorkOptions<Selectable<DB[Table]>, DB>,
    handler: Handler<Selectable<DB[Table]>, DB>,
  ): Workers<Selectable<DB[Table]>, DB> {
    if (this.#closed) throw closedError();
    const rows = this.#rows;
    const { storage, fair, perKey } = this.#definition.shape;
    const source: WorkSource<Selectable<DB[Table]>, DB> = {
      clock: this.#context.clock,
      most: this.#definition.most,
      keyed: perKey !== undefined,
      queues: storage === 'sidecar' && !fair && perKey === undefined,
      claim: (limits) => this.#claim(limits, false),
      get looksAgain() {
        return rows.looksAgain;
      },
      abandon: (claim) => rows.abandon(claim),
      giveBack: (...failed) => rows.giveBack(...failed),
      waking: () =>
        new Waking(this.#context.clock, this.#context.notifications, this.#database, () => this.#table()),
    };
    const workers = new Workers(source, options, handler);
    this.#workers.add(workers);
    return workers;
  }

  /** The server has failed over. @internal */
  moved(holder: Holder): Promise<void> {
    return this.#rows.moved(holder);
  }

  /** Stops the workers and gives back what is claimed and not settled. @internal */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#workers].map((workers) => workers.stop()));
    this.#closed = true;
    // A pool that was ended first answers no more: the rows are free when the holder is closed, right after this.
    await within(this.#context.clock, closeLimit, this.#rows.close());
  }

  /** What was claimed of so many rows at most, with an event around it where somebody listens. */
  #told<Claimed extends readonly unknown[]>(limit: number, claim: () => Promise<Claimed>): Promise<Claimed> {
    if (!spans.claim.hasSubscribers) return claim();
    const { name: table } = this.#definition;
    const event: ClaimEvent = { kind: 'claim', table, family: table, limit };
    return spans.claim.tracePromise(async () => {
      const claims = await claim();
      event.claimed = claims.length;
      return claims;
    }, event);
  }

  async #table(): Promise<ClaimTable> {
    if (this.#closed) throw closedError();
    return this.#preparing.table();
  }

  #tenantOf(argument: string, value: unknown): unknown {
    if (this.#definition.shape.tenant === undefined) {
      throw new ArgumentError(argument, 'nothing: the definition names no tenant column', value);
    }
    return scalar(argument, value);
  }

  #keysOf(keys: readonly RowKey[]): unknown[][] {
    if (!Array.isArray(keys) || keys.length > mostRows) {
      throw new ArgumentError('keys', `an array of at most ${mostRows} keys`, keys);
    }
    const columns = this.#definition.shape.key.length;
    return keys.map((key: RowKey, place) => {
      const parts: readonly unknown[] = Array.isArray(key) ? key : [key];
      if (parts.length !== columns) throw new ArgumentError(`keys[${place}]`, `${columns} values`, key);
      return parts.map((part) => scalar(`keys[${place}]`, part));
    });
  }
}

function scalar(argument: string, value: unknown): string {
  if (typeof value === 'string') return storableText(argument, value);
  if (typeof value === 'bigint' || (typeof value === 'number' && Number.isFinite(value)))
    return String(value);
  throw new ArgumentError(argument, 'a string, a number or a bigint', value);
}
