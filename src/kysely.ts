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
  /** Held together with others, all of them shared. */
  readonly shared: Column<boolean>;
  /** An operator has taken it away: it ends at `expires_at` whoever renews. */
  readonly revoked: Column<boolean>;
  readonly metadata: Column<unknown>;
  /** Somebody waits for it, or did a moment ago. */
  readonly wanted: Column<boolean>;
  /** What the name is about, without what tells it from others of its kind: `fencepost.family(name)`. */
  readonly family: Column<string>;
  /** Until it ends unless it is renewed; less than 0 when it has. */
  readonly seconds_left: Column<number | null>;
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
  /** Until it expires unless there is another heartbeat; less than 0 when it has. */
  readonly seconds_left: Column<number>;
  /** Since its last heartbeat. */
  readonly seconds_silent: Column<number>;
}

/** A row of the view `locks`: a session or transaction lock of this database, held or waited for. */
export interface LocksView {
  /** A string, which is what `pg` makes of an `int8`. */
  readonly key: Column<string>;
  readonly mode: Column<'exclusive' | 'shared'>;
  readonly granted: Column<boolean>;
  readonly pid: Column<number>;
  readonly application: Column<string | null>;
  /** When it began to wait. */
  readonly since: Column<Date | null>;
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
  /** When it began to wait; null for those who do not stand in line. */
  readonly since: Column<Date | null>;
}

/** A row of the view `blocked`: one who waits, as in `waiters`, and one who is in the way. */
export interface BlockedView extends WaitersView {
  readonly by_application: Column<string | null>;
  /** The server process that has the lock, or wants it alone and came before. */
  readonly by_pid: Column<number | null>;
  /** The token of the lease. A string, which is what `pg` makes of an `int8`. */
  readonly by_token: Column<string | null>;
}

/** A row of the view `lease_counts`: how many leases of a tenant and a family there are. */
export interface LeaseCountsView {
  readonly tenant: Column<string>;
  readonly family: Column<string>;
  /** Rows, held or free. Strings, which is what `pg` makes of an `int8`, as are the other counts. */
  readonly known: Column<string>;
  readonly held: Column<string>;
  /** Of those held: somebody waits for them, or did a moment ago. */
  readonly wanted: Column<string>;
  readonly revoked: Column<string>;
  /** Until the first of them ends unless it is renewed; null when none is held. */
  readonly seconds_left: Column<number | null>;
}

/** What `pg` makes of an `interval`; parts that are 0 are absent. */
export interface ViewInterval {
  readonly hours?: number;
  readonly minutes?: number;
  readonly seconds?: number;
  readonly milliseconds?: number;
  /** As Postgres reads it. */
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
    Record<`${Schema}.waiters`, WaitersView> &
    Record<`${Schema}.locks`, LocksView> &
    Record<`${Schema}.blocked`, BlockedView> &
    Record<`${Schema}.lease_counts`, LeaseCountsView>
>;
