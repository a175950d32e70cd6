import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import { Losses } from '../dashboard/losses.ts';
import type { Connection } from '../session/connection.ts';
import type { Database } from '../session/database.ts';
import { advisoryLocks, type LockRow, readLock } from '../sql/inspect.ts';
import {
  livingHolders,
  type Overview,
  overview,
  readOverview,
  readWaiter,
  type WaiterRow,
  waiters,
} from '../sql/operations.ts';

/** A process that holds leases or could. */
export interface WatchedHolder {
  readonly application: string;
  readonly id: string;
  readonly alive: boolean;
  /** Milliseconds since its last heartbeat, and until it expires. */
  readonly silent: number;
  readonly left: number;
}

/** What one look found. */
export type Look =
  | {
      readonly overview: Overview;
      readonly holders: readonly WatchedHolder[];
      readonly waiters: readonly WaiterRow[];
      /** Those that are held, as far as they are shown, and how many are held and waited for in all. */
      readonly locks: readonly LockRow[];
      readonly locksHeld: number;
      readonly locksWaiting: number;
      /** Tokens drawn a second since the look before; undefined for the first one. */
      readonly rate: number | undefined;
      /** Holders that died without a word since the first look. */
      readonly lost: number;
    }
  | { readonly failure: string };

/** Rows of each kind that are read. */
const most = 200;

/** Looks again and again, on one connection, which is opened anew after it was lost. */
export class Watching {
  readonly #database: Database;
  readonly #clock: Clock;
  #connection: Connection | undefined;
  #before: { readonly at: Moment; readonly tokens: number } | undefined;
  readonly #losses = new Losses();

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  async look(): Promise<Look> {
    try {
      if (this.#connection === undefined || this.#connection.lost)
        this.#connection = await this.#database.open();
      return await this.#lookOn(this.#connection, this.#database.schema);
    } catch (error) {
      this.#before = undefined;
      return { failure: error instanceof Error ? error.message : String(error) };
    }
  }

  async #lookOn(connection: Connection, schema: string): Promise<Look> {
    const numbers = readOverview(await connection.query(overview(schema)));
    const holders = (await connection.query(livingHolders(schema, most))).map((row) => ({
      application: row.application ?? '',
      id: row.id ?? '',
      alive: row.alive === 't',
      silent: Number(row.silent),
      left: Number(row.left),
    }));
    const at = this.#clock.now();
    const rate =
      this.#before === undefined
        ? undefined
        : Math.max(0, numbers.tokens - this.#before.tokens) / (elapsed(this.#before.at, at) / 1_000);
    this.#before = { at, tokens: numbers.tokens };
    if (holders.length < most) this.#losses.see(holders, at.monotonic);
    const locks = await connection.query(advisoryLocks);
    const held = locks.filter(({ granted }) => granted === 't');
    return {
      overview: numbers,
      holders,
      waiters: (await connection.query(waiters(schema, most))).map(readWaiter),
      locks: held.slice(0, most).map(readLock),
      locksHeld: held.length,
      locksWaiting: locks.length - held.length,
      rate,
      lost: this.#losses.count,
    };
  }
}
