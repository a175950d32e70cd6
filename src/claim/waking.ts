import { pause } from '../core/abort.ts';
import { Bell } from '../core/bell.ts';
import type { Clock } from '../core/clock.ts';
import { SchemaError } from '../core/errors.ts';
import type { Notifications } from '../session/notifications.ts';
import type { ClaimTable } from '../sql/claim-table.ts';
import { rowsCame, wantRows } from '../sql/claim-wake.ts';
import type { UserDatabase } from './user-database.ts';

/** The first waits after rows ran out, in milliseconds; those that follow are as long as the poll. */
const firstWaits = [100, 1_000];

/**
 * How workers without work are told of rows. Whoever asks looks once more and then waits: what was committed before is
 * found, what is inserted after is told. A transaction that had inserted before and commits after falls between, so
 * the first waits are short.
 */
export class Waking {
  readonly #clock: Clock;
  readonly #notifications: Notifications;
  readonly #database: UserDatabase;
  readonly #table: () => Promise<ClaimTable>;
  readonly #bell = new Bell();
  #stopHearing: (() => void) | undefined;
  #asked = false;
  #waits = 0;

  constructor(
    clock: Clock,
    notifications: Notifications,
    database: UserDatabase,
    table: () => Promise<ClaimTable>,
  ) {
    this.#clock = clock;
    this.#notifications = notifications;
    this.#database = database;
    this.#table = table;
  }

  /**
   * Ends when it is time to look for rows again: when some may have come, at the latest after so many milliseconds.
   * `found`: how many the last look found.
   */
  async wait(found: number, longest: number, signal: AbortSignal): Promise<void> {
    if (found > 0) this.#waits = 0;
    if (this.#asked) {
      this.#asked = false;
      const wait = Math.min(longest, firstWaits[this.#waits] ?? longest);
      this.#waits += 1;
      return this.#bell.heard(this.#clock, wait, signal);
    }
    const table = await this.#table();
    this.#stopHearing ??= this.#notifications.wait(rowsCame(table.oid), () => this.#bell.ring());
    if (!(await this.#notifications.listen())) return this.#bell.heard(this.#clock, longest, signal);
    this.#bell.reset();
    const [row] = await this.#database.query(wantRows(table.schema, table.oid));
    if (row?.answer == null) {
      const remedy = 'call ensure({ wake: true }), or run the statements of ddl({ wake: true })';
      throw new SchemaError(`table ${table.table} has no trigger that wakes workers: ${remedy}`);
    }
    this.#asked = true;
    const early = Number(row.answer);
    if (early > 0) await pause(this.#clock, early, signal);
  }

  /** Something has changed in this process that may let it find rows. */
  ring(): void {
    this.#bell.ring();
  }

  /** There is work enough: nobody need tell. */
  rest(): void {
    this.#stopHearing?.();
    this.#stopHearing = undefined;
    this.#asked = false;
    this.#waits = 0;
  }
}
