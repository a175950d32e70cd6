import type { ControlledTransaction } from 'kysely';
import { pause } from '../core/abort.ts';
import type { Duration } from '../core/duration.ts';
import { milliseconds } from '../core/duration.ts';
import { DatabaseError, LimitError, LockLostError, StaleTokenError, StateError } from '../core/errors.ts';
import { points } from '../core/events.ts';
import { closedError } from '../session/database.ts';
import { type KyselyTransaction, runIn, runScriptIn } from '../session/transaction.ts';
import type { ClaimedRow } from '../sql/claim.ts';
import type { Cursor, Position } from '../sql/claim-asked.ts';
import { cursorAfter } from '../sql/claim-groups.ts';
import { beginWork, completeHeld, holdNamedRow, holdRow, undoWork } from '../sql/claim-held.ts';
import type { ClaimTable } from '../sql/claim-table.ts';
import { readClaimed } from '../sql/claimed-rows.ts';
import { fenceToken } from '../sql/session-lock.ts';
import type { Statement } from '../sql/statement.ts';
import { Attempt } from './attempt.ts';
import { Claim, type ClaimKeeper } from './claim.ts';
import type { Definition } from './definition.ts';
import { HeldTerm } from './held-term.ts';
import type { AnyTables } from './query-text.ts';
import type { ClaimContext } from './register.ts';
import type { AsideRow, RowStore } from './row-store.ts';
import { failureOf, type UserDatabase } from './user-database.ts';
import { Walk, walks } from './walk.ts';

type Keys = readonly (readonly unknown[])[];

/** A transaction that has locked a row, and for how long that can be trusted. */
interface Held {
  readonly trx: ControlledTransaction<AnyTables>;
  readonly term: HeldTerm;
  readonly row: ClaimedRow;
  /** Where in the order it stands, where that was asked. */
  readonly at: Position | null;
}

/** Claims that are the lock of their row, each in a transaction of its own that stays open. */
export class HeldRows<Row, DB> implements RowStore<Row, DB> {
  readonly #context: ClaimContext;
  readonly #definition: Definition;
  readonly #database: UserDatabase;
  readonly #walk: Walk;
  readonly #claims = new Map<Claim<Row, DB>, Attempt>();
  /** Transactions that are open, are being opened or ended, or may be opened by a call that is under way. */
  #open = 0;
  #cursor: Cursor;
  #closed = false;

  constructor(context: ClaimContext, definition: Definition, database: UserDatabase) {
    this.#context = context;
    this.#definition = definition;
    this.#database = database;
    this.#walk = new Walk(context.clock);
  }

  /** In milliseconds until claims that are not in order look from the start again. */
  get looksAgain(): number {
    return this.#walk.rest;
  }

  async claim(
    table: ClaimTable,
    limit: number,
    tenant: unknown,
    inOrder: boolean,
  ): Promise<Claim<Row, DB>[]> {
    const most = this.#reserve(1, limit);
    const { ttl } = this.#definition;
    const walk = walks(table) && !inOrder ? this.#walk : undefined;
    // The row that was locked last, and all before it, need not be looked at again by the same call.
    let from = walks(table) ? (walk?.next(tenant) ?? null) : undefined;
    const began = this.#context.clock.now();
    const next = (): Statement => holdRow(table, ttl, tenant, this.#cursor, from);
    return this.#hold(table, Array<() => Statement>(most).fill(next), (held) => {
      const at = held?.at ?? null;
      if (from !== undefined) {
        walk?.ended(tenant, from, began, at);
        from = at ?? from;
      }
      return held === undefined;
    });
  }

  async claimKeys(table: ClaimTable, keys: Keys): Promise<Claim<Row, DB>[]> {
    this.#reserve(keys.length, keys.length);
    const { ttl } = this.#definition;
    const statements = keys.map((key) => () => holdNamedRow(table, ttl, key));
    return this.#hold(table, statements, () => false);
  }

  async aside(): Promise<AsideRow<Row>[]> {
    return [];
  }

  async retry(): Promise<number> {
    return 0;
  }

  async forget(): Promise<void> {}

  async moved(): Promise<void> {}

  abandon(claim: Claim<Row, DB>): void {
    this.#claims.get(claim)?.end('shutdown');
  }

  /** Nothing keeps others off a row but its lock: so that is kept as long as nobody shall try again. */
  async giveBack(claim: Claim<Row, DB>, after: Duration, _: unknown, signal: AbortSignal): Promise<void> {
    await pause(this.#context.clock, milliseconds('backoff', after), signal).catch(() => {});
    await claim.release();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#claims.keys()].map((claim) => claim.release()));
  }

  /** Takes places for transactions, at least and at most so many, and answers how many. */
  #reserve(least: number, most: number): number {
    const { most: all, shape } = this.#definition;
    const room = all - this.#open;
    if (room < least) {
      const free = room === 0 ? 'none is free' : `${room} are free`;
      throw new LimitError(
        `claims of ${shape.table} may use ${all} connections, and ${free}: ${least} needed`,
      );
    }
    const reserved = Math.min(room, most);
    this.#open += reserved;
    return reserved;
  }

  /** One after the other, so that they come in order. */
  async #hold(
    table: ClaimTable,
    statements: readonly (() => Statement)[],
    over: (held: Held | undefined) => boolean,
  ): Promise<Claim<Row, DB>[]> {
    const all: Held[] = [];
    let unused = statements.length;
    try {
      for (const statement of statements) {
        unused -= 1;
        const held = await this.#one(statement());
        if (held !== undefined) all.push(held);
        this.#cursor = cursorAfter(held === undefined ? [] : [held.row], this.#cursor);
        if (over(held)) break;
      }
      if (this.#closed) throw closedError();
      if (all.length === 0) return [];
      // Drawn after the rows were locked, and on disk before anybody sees it: not in these transactions, then.
      const { commands, schema } = this.#context;
      const token = BigInt((await commands.run(fenceToken(schema)))?.answer ?? '');
      // Before it is handed out nobody is told that it was lost, and nobody would end its transaction.
      const lost = all.filter(({ term }) => term.over);
      const live = all.filter((held) => !lost.includes(held));
      if (live.length === 0) throw new LockLostError(table.table, 'expired');
      for (const { trx, term } of lost) void this.#end(trx, term);
      return live.map((held) => this.#hand(table, { ...held, row: { ...held.row, token } }));
    } catch (error) {
      await Promise.all(all.map(({ trx, term }) => this.#end(trx, term)));
      throw failureOf(`claim rows of ${table.table}`, error, this.#context.schema);
    } finally {
      this.#open -= unused;
    }
  }

  async #one(statement: Statement): Promise<Held | undefined> {
    const { clock } = this.#context;
    let trx: ControlledTransaction<AnyTables>;
    try {
      trx = await this.#database.db.startTransaction().setIsolationLevel('read committed').execute();
    } catch (error) {
      this.#open -= 1;
      throw error;
    }
    try {
      const sent = clock.now();
      const { rows, ended } = readClaimed(await runIn('options.db', of(trx), statement));
      const [row] = rows;
      if (row !== undefined) {
        const term = new HeldTerm(clock, this.#definition.ttl, sent, (statement) =>
          runIn('options.db', of(trx), statement),
        );
        return { trx, term, row, at: ended };
      }
    } catch (error) {
      await this.#end(trx);
      throw error;
    }
    await this.#end(trx);
    return undefined;
  }

  /** Gives up what the transaction has done and its connection. */
  async #end(trx: ControlledTransaction<AnyTables>, term?: HeldTerm): Promise<void> {
    term?.leave();
    await term?.quiet();
    try {
      await trx.rollback().execute();
    } catch {
      // It has ended already, with its connection.
    } finally {
      this.#open -= 1;
    }
  }

  #hand(table: ClaimTable, held: Held): Claim<Row, DB> {
    const { trx, term, row } = held;
    const key = `${table.table} ${row.key.join('/')}`;
    const attempt = new Attempt(term, this.#context.clock, this.#definition.deadline);
    let committed = false;
    const end = async (): Promise<void> => {
      if (committed) this.#open -= 1;
      else await this.#end(trx, term);
    };
    const keeper: ClaimKeeper = {
      table: this.#definition.name,
      holder: undefined,
      maxAttempts: Infinity,
      keepsReturns: false,
      complete: async (_key, _row, work) => {
        if (term.over) throw new StaleTokenError(key, row.token);
        await term.work((stirred) => this.#complete(table, key, held, work, stirred));
        committed = true;
      },
      fail: async () => {
        throw new StateError(`storage 'held' keeps nothing of ${key}, and so cannot set it aside`);
      },
      giveBack: end,
      ended: (_row, _index, reason) => {
        this.#claims.delete(claim);
        if (reason !== undefined) void end();
        else if (committed) void end();
      },
    };
    const claim: Claim<Row, DB> = new Claim(keeper, attempt, key, row);
    this.#claims.set(claim, attempt);
    if (points.grant.hasSubscribers) points.grant.publish({ ...claim.about(), waited: 0 });
    return claim;
  }

  async #complete(
    table: ClaimTable,
    key: string,
    { trx, term, row }: Held,
    work: Parameters<ClaimKeeper['complete']>[2],
    stirred: () => void,
  ): Promise<void> {
    const schema = this.#context.schema;
    const transaction = of(trx);
    let thrown: { readonly error: unknown } | undefined;
    try {
      if (work !== undefined) {
        await runScriptIn('transaction', transaction, beginWork);
        await work(trx).catch((error: unknown) => {
          thrown = { error };
          throw error;
        });
      }
      await runIn('transaction', transaction, completeHeld(table, row.key));
    } catch (error) {
      const failure = failureOf(`complete ${key}`, error, schema);
      if (work !== undefined) {
        stirred();
        const undone = await runScriptIn('transaction', transaction, undoWork(this.#definition.ttl)).then(
          () => true,
          () => false,
        );
        if (undone) throw thrown === undefined ? failure : thrown.error;
      }
      // The lock is gone, before anything was committed.
      const broken = failure instanceof DatabaseError && failure.inDoubt;
      term.end(broken ? 'connection' : 'closed', error);
      if (thrown !== undefined) throw thrown.error;
      throw broken ? new StaleTokenError(key, row.token, { cause: error }) : failure;
    }
    try {
      await trx.commit().execute();
    } catch (error) {
      term.end('closed', error);
      throw failureOf(`complete ${key}`, error, schema);
    }
  }
}

/** As the caller's transactions are known elsewhere. */
function of(trx: ControlledTransaction<AnyTables>): KyselyTransaction {
  return trx as unknown as KyselyTransaction;
}
