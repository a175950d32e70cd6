import type { Resource } from '../../sql/lease.ts';

/** A living process. */
export interface HolderRow {
  readonly id: string;
  readonly ttl: number;
  readonly application: string;
  readonly opened: number;
  beat: number;
  expires: number;
  epoch: number;
}

/** A row of the lease table. */
export interface LeaseRow {
  readonly resource: Resource;
  readonly slot: number;
  token: bigint;
  holder: string | undefined;
  nonce: string | undefined;
  acquired: number;
  /** A fixed term; undefined: as long as the holder lives. */
  expires: number | undefined;
  /** Who releases it is to tell. */
  wanted: boolean;
  shared: boolean;
  revoked: boolean;
  metadata: string | undefined;
  /** The open transactions that guard it. */
  readonly guards: Set<object>;
}

/** A place in the queue of a resource. */
export interface Ticket {
  readonly resource: Resource;
  readonly holder: string;
  readonly nonce: string;
  readonly shared: boolean;
}

const keyOf = ({ tenant, name }: Resource): string => `${tenant}\0${name}`;

/** Rows by resource and slot, and who of the holders is alive. */
export class LeaseRows {
  readonly #now: () => number;
  readonly #rows = new Map<string, Map<number, LeaseRow>>();
  readonly #crowded = new Set<string>();
  readonly holders = new Map<string, HolderRow>();
  tickets: Ticket[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  /** All rows of a resource, in the order of their slots. */
  of(resource: Resource): LeaseRow[] {
    return [...(this.#rows.get(keyOf(resource))?.values() ?? [])].sort((a, b) => a.slot - b.slot);
  }

  all(): LeaseRow[] {
    return [...this.#rows.values()].flatMap((slots) => [...slots.values()]);
  }

  find(resource: Resource, slot: number): LeaseRow | undefined {
    return this.#rows.get(keyOf(resource))?.get(slot);
  }

  /** The row, made when it is not there. */
  row(resource: Resource, slot: number): LeaseRow {
    const slots = this.#rows.get(keyOf(resource)) ?? new Map<number, LeaseRow>();
    this.#rows.set(keyOf(resource), slots);
    const row = slots.get(slot) ?? emptyRow(resource, slot);
    slots.set(slot, row);
    return row;
  }

  /** From now on who asks for it alone has to look at its other rows as well. */
  crowd(resource: Resource): void {
    this.#crowded.add(keyOf(resource));
  }

  isCrowded(resource: Resource): boolean {
    return this.#crowded.has(keyOf(resource));
  }

  living(id: string | undefined): HolderRow | undefined {
    const holder = this.holders.get(id ?? '');
    return holder !== undefined && holder.expires > this.#now() ? holder : undefined;
  }

  expiryOf({ holder, expires }: LeaseRow): number {
    return expires ?? this.holders.get(holder ?? '')?.expires ?? 0;
  }

  isHeld(row: LeaseRow): boolean {
    return row.holder !== undefined && this.expiryOf(row) > this.#now();
  }

  /** Somebody has it, or a transaction that guards it is open. */
  isTaken(row: LeaseRow): boolean {
    return this.isHeld(row) || row.guards.size > 0;
  }

  /** Of those who wait for a resource, the ones that live. */
  waiting(resource: Resource): Ticket[] {
    this.tickets = this.tickets.filter(({ holder }) => this.living(holder) !== undefined);
    return this.tickets.filter((ticket) => keyOf(ticket.resource) === keyOf(resource));
  }
}

function emptyRow(resource: Resource, slot: number): LeaseRow {
  return {
    resource,
    slot,
    token: 0n,
    holder: undefined,
    nonce: undefined,
    acquired: 0,
    expires: undefined,
    wanted: false,
    shared: false,
    revoked: false,
    metadata: undefined,
    guards: new Set(),
  };
}
