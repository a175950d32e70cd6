/** What the server of the dashboard tells its pages. Nothing is imported: the page reads these types too. */

/** A part as it was found last, and when; `failure` when the last look at it was in vain. Times are those of the dashboard. */
export interface Part<Found> {
  readonly found?: Found;
  readonly at?: number;
  readonly failure?: string;
}

/** The answer of `overview()`. */
export interface Numbers {
  readonly holders_alive: number;
  readonly holders_expired: number;
  readonly leases_known: number;
  readonly leases_held: number;
  readonly tickets: number;
  readonly tokens: number;
}

export interface Holder {
  readonly id: string;
  readonly application: string;
  readonly alive: boolean;
  /** Milliseconds since its last heartbeat, until it expires, and of its ttl. */
  readonly silent: number;
  readonly left: number;
  readonly ttl: number;
}

export interface Waits {
  readonly total: number;
  /** Those of whom nobody knows since when. */
  readonly unknown: number;
  /** How many have waited so long; `Hello.bounds` has where one ends and the next begins. */
  readonly buckets: readonly number[];
  readonly longest: readonly {
    readonly kind: 'lock' | 'lease';
    readonly tenant: string;
    readonly name: string;
    readonly mode: string | null;
    readonly application: string | null;
    readonly pid: number | null;
    readonly waited: number | null;
  }[];
}

export interface Locks {
  readonly held: number;
  readonly waiting: number;
  readonly keys: readonly {
    readonly key: string;
    readonly held: number;
    readonly waiting: number;
    readonly mode: string | null;
    readonly pid: number | null;
    readonly application: string | null;
  }[];
}

/** A lease as tables show it. */
export interface ShownLease {
  readonly tenant: string;
  readonly name: string;
  readonly slot: number;
  readonly token: string;
  readonly application: string | null;
  readonly revoked: boolean;
  /** Milliseconds until it ends unless it is renewed. */
  readonly left: number;
  /** Of its holder, which a lease that is revoked may have no more: see `Holder`. */
  readonly silent: number | null;
  readonly ttl: number | null;
}

/** Who waits for whom: processes, or sessions for locks. `who` is null for those who do not stand in line. */
export interface Way {
  readonly kind: 'lock' | 'lease';
  readonly who: string | null;
  readonly by: string;
  readonly count: number;
  readonly waited: number | null;
  /** One of the keys. */
  readonly name: string;
}

export interface Blocked {
  readonly total: number;
  readonly ways: readonly Way[];
}

export interface Count {
  readonly name: string;
  readonly known: number;
  readonly held: number;
  readonly wanted: number;
  readonly revoked: number;
}

export interface Counts {
  readonly tenants: number;
  readonly families: number;
  readonly byTenant: readonly Count[];
  readonly byFamily: readonly Count[];
}

export interface ClaimCount {
  readonly table: string;
  readonly tenant: string | null;
  readonly state: 'claimed' | 'left' | 'waiting' | 'aside';
  readonly count: number;
}

/** A holder that died without a word. */
export interface Loss {
  readonly at: number;
  readonly id: string;
  readonly application: string;
}

/** One point of the charts; null where it is not known. */
export interface Point {
  readonly at: number;
  /** A second. */
  readonly grants: number | null;
  readonly held: number | null;
  readonly waiting: number | null;
  /** Holders that died since the point before. */
  readonly lost: number;
}

export interface Snapshot {
  readonly at: number;
  readonly numbers: Part<Numbers>;
  readonly holders: Part<readonly Holder[]>;
  readonly waits: Part<Waits>;
  readonly locks: Part<Locks>;
  readonly soonest: Part<readonly ShownLease[]>;
  readonly blocked: Part<Blocked>;
  readonly counts: Part<Counts>;
  readonly claims: Part<readonly ClaimCount[]>;
  /** Since the dashboard began to look. */
  readonly lost: number;
  readonly losses: readonly Loss[];
  readonly point: Point;
}

/** The first that a page is told. */
export interface Hello {
  readonly version: string;
  readonly schema: string;
  /** Milliseconds from one look to the next. */
  readonly refresh: number;
  readonly revocable: boolean;
  /** See `Waits.buckets`, in milliseconds. */
  readonly bounds: readonly number[];
  readonly history: readonly Point[];
}

/** The database did not answer. */
export interface Trouble {
  readonly at: number;
  readonly failure: string;
}

/** What `/api/leases` answers. */
export interface LeasePage {
  readonly leases: readonly ShownLease[];
  /** Where the next page begins; null at the end. */
  readonly next: string | null;
}
