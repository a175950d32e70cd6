import type { ColumnType } from 'kysely';

/** A column that can be read and not written. */
type Column<Value> = ColumnType<Value, never, never>;

/** A row of the view `leases`: one for each key that was ever asked for, held or free. */
export interface LeasesView {
  /** `''` when the key was given without a tenant. */
  readonly tenant: Column<string>;
  readonly name: Column<string>;
  readonly slot: Column<number>;
  /** The newest token that was given out. A string, which is what `pg` makes of an `int8`: `BigInt(row.token)`. */
  readonly token: Column<string>;
  /** Null when the lease was released. */
  readonly holder_id: Column<string | null>;
  /** Whether somebody had it when the query ran, by the clock of the server. */
  readonly held: Column<boolean>;
  /** Null when the lease is free, or its holder is gone. */
  readonly expires_at: Column<Date | null>;
  readonly acquired_at: Column<Date | null>;
  /** Host and process id of the holder; null when the lease is free, or its holder is gone. */
  readonly application: Column<string | null>;
}

/** A row of the view `holders`: a process that holds something, or did until a moment ago. */
export interface HoldersView {
  readonly id: Column<string>;
  /** Host and process id. */
  readonly application: Column<string>;
  readonly ttl: Column<ViewInterval>;
  readonly expires_at: Column<Date>;
  /** When the server saw its last heartbeat. */
  readonly beat_at: Column<Date>;
  readonly opened_at: Column<Date>;
  /** Whether it had not expired when the query ran. */
  readonly alive: Column<boolean>;
}

/** A row of the view `waiters`: who waits for a lock, or for a lease. */
export interface WaitersView {
  /** `'lock'`: a session or transaction lock. */
  readonly kind: Column<'lock' | 'lease'>;
  /** Of a lease. */
  readonly tenant: Column<string | null>;
  readonly name: Column<string | null>;
  /** Of a lock. A string, which is what `pg` makes of an `int8`. */
  readonly key: Column<string | null>;
  /** Null where others wait for a lease without standing in line: of these there is one row, whatever their number. */
  readonly mode: Column<'exclusive' | 'shared' | null>;
  readonly application: Column<string | null>;
  /** The server process that waits for a lock. */
  readonly pid: Column<number | null>;
  /** When it began to wait for a lock. */
  readonly since: Column<Date | null>;
}

/** What `pg` makes of an `interval`; parts that are 0 are absent. */
export interface ViewInterval {
  readonly hours?: number;
  readonly minutes?: number;
  readonly seconds?: number;
  readonly milliseconds?: number;
  toPostgres(): string;
}

/**
 * The views of Fencepost, for a Kysely instance that is to read them. Give the name of the schema when it is not
 * `fencepost`. The types are those of `pg` without type parsers of your own.
 *
 * @example
 * const held = await db
 *   .withTables<FencepostViews>()
 *   .selectFrom('fencepost.leases')
 *   .select(['tenant', 'name', 'expires_at'])
 *   .where('held', '=', true)
 *   .execute();
 */
export type FencepostViews<Schema extends string = 'fencepost'> = Readonly<
  Record<`${Schema}.leases`, LeasesView> &
    Record<`${Schema}.holders`, HoldersView> &
    Record<`${Schema}.waiters`, WaitersView>
>;
