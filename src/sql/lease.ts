import {
  callOf,
  identifier,
  interval,
  literal,
  numbersOf,
  plainArray,
  type Row,
  rowOf,
  type Statement,
  textArray,
} from './statement.ts';

/** What a lease is of: two texts, compared byte by byte. */
export interface Resource {
  readonly tenant: string;
  readonly name: string;
}

/** The living holder that asks. */
export interface Claimant {
  readonly id: string;
  readonly epoch: number;
}

export interface Ask {
  readonly resource: Resource;
  /** The same for every time one call is sent, so that it is granted once. */
  readonly nonce: string;
  /** The caller will wait: who releases it is to tell. */
  readonly waits: boolean;
  /** JSON. */
  readonly metadata: string | undefined;
  /** How many may have it at the same time. */
  readonly slots: number;
  /** How many may have it over all tenants, if that is limited as well. */
  readonly total: number | undefined;
  /** Together with any number of others who ask for it shared. */
  readonly shared: boolean;
  /** In the order of the calls, across processes. */
  readonly fair: boolean;
}

/** For a lease that one holder has at a time, by a caller that does not wait. */
export function plainAsk(resource: Resource, nonce: string): Ask {
  const wanted = { metadata: undefined, slots: 1, total: undefined, shared: false, fair: false };
  return { resource, nonce, waits: false, ...wanted };
}

/** A row of the lease table that was granted. */
export interface Held {
  readonly resource: Resource;
  readonly slot: number;
  readonly token: bigint;
}

/** A try that was not granted. */
export interface Refusal {
  /** Milliseconds until the present holder expires unless it is renewed, where the server knows. */
  readonly heldFor: number | undefined;
  /** It has a place in a queue, which is to be given up when nobody waits for it any more. */
  readonly queued: boolean;
}

export type Answer = readonly [Held, ...Held[]] | Refusal;

/** Without a term the leases live as long as the holder; with one, each has an expiry of its own. */
export function acquireLeases(
  schema: string,
  claimant: Claimant,
  term: number | undefined,
  asks: readonly Ask[],
): Statement {
  const special = asks.some(
    ({ slots, total, shared, fair }) => slots > 1 || total !== undefined || shared || fair,
  );
  return rowOf(schema, 'lease_acquire', [
    claimant.id,
    claimant.epoch,
    term === undefined ? null : interval(term),
    textArray(asks.map((ask) => ask.resource.tenant)),
    textArray(asks.map((ask) => ask.resource.name)),
    plainArray(asks.map((ask) => ask.nonce)),
    asks.some((ask) => ask.waits) ? plainArray(asks.map((ask) => ask.waits)) : null,
    asks.some((ask) => ask.metadata !== undefined) ? asks.map((ask) => ask.metadata ?? null) : null,
    special ? asks.map((ask) => ask.slots) : null,
    special ? asks.map((ask) => ask.total ?? null) : null,
    special ? asks.map((ask) => ask.shared) : null,
    special ? asks.map((ask) => ask.fair) : null,
  ]);
}

const refused: Refusal = { heldFor: undefined, queued: false };

export function readAnswers(row: Row | undefined, asks: readonly Ask[]): Answer[] {
  const answers = new Array<Answer>(asks.length).fill(refused);
  const queued = numbersOf(row?.queued);
  for (const place of queued) answers[Number(place) - 1] = { heldFor: undefined, queued: true };
  const heldFor = numbersOf(row?.held_for);
  numbersOf(row?.held).forEach((place, index) => {
    const left = heldFor[index];
    answers[Number(place) - 1] = {
      heldFor: left === undefined || left === 'NULL' ? undefined : Number(left),
      queued: queued.includes(place),
    };
  });
  const [tokens, slots] = [numbersOf(row?.tokens), numbersOf(row?.slots)];
  const [totalTokens, totalSlots] = [numbersOf(row?.total_tokens), numbersOf(row?.total_slots)];
  // Mostly all of them have one token: 100,000 leases need not keep as many numbers.
  let last: bigint | undefined;
  numbersOf(row?.granted).forEach((place, index) => {
    const ask = asks[Number(place) - 1];
    if (ask === undefined) return;
    const { resource } = ask;
    const known = index > 0 && tokens[index] === tokens[index - 1] ? last : undefined;
    const own = rowOfLease(resource, slots[index], tokens[index], known);
    last = own.token;
    answers[Number(place) - 1] =
      ask.total === undefined
        ? [own]
        : [own, rowOfLease(totalOf(resource), totalSlots[index], totalTokens[index], undefined)];
  });
  return answers;
}

function rowOfLease(
  resource: Resource,
  slot: string | undefined,
  token: string | undefined,
  known: bigint | undefined,
): Held {
  return { resource, slot: Number(slot), token: known ?? BigInt(token ?? '') };
}

/** What the limit over all tenants is kept on: the same name without a tenant. */
export function totalOf({ name }: Resource): Resource {
  return { tenant: '', name };
}

/**
 * Who waits for them is woken before this is on the disk: it counts when what `flushOf` gives has been answered.
 * `awaited`: so is who waits for the answer.
 */
export function releaseLeases(
  schema: string,
  holder: string,
  held: readonly Held[],
  awaited: boolean,
): Statement {
  return rowOf(schema, 'lease_release', [holder, ...columnsOf(held), 'true', awaited]);
}

/** What makes a release durable that was answered before it was. */
export function flushOf(schema: string, row: Row | undefined): Statement | undefined {
  return row?.unflushed === 't' ? callOf(schema, 'flush', []) : undefined;
}

export function renewLeases(schema: string, holder: string, term: number, held: readonly Held[]): Statement {
  return callOf(schema, 'lease_renew', [holder, interval(term), ...columnsOf(held)]);
}

/** Which of them the holder has on the server. */
export function knownLeases(schema: string, holder: string, held: readonly Held[]): Statement {
  return callOf(schema, 'lease_known', [holder, ...columnsOf(held)]);
}

/** Some of what a holder has on the server that lives on its heartbeat: those after `last`, in their order. */
export function leasesOf(schema: string, holder: string, last?: Held): Statement {
  const { tenant, name } = last?.resource ?? { tenant: '', name: '' };
  return callOf(schema, 'lease_of', [holder, tenant, name, last?.slot ?? -1]);
}

export function readLeasesOf(row: Row | undefined): Held[] {
  const rows: [string, string, number, string][] = JSON.parse(row?.answer ?? '[]');
  return rows.map(([tenant, name, slot, token]) => ({
    resource: { tenant, name },
    slot,
    token: BigInt(token),
  }));
}

/** Which of the calls the server found their lease for, out of the places that it answered. */
export function readFound(row: Row | undefined, count: number): boolean[] {
  const found = new Array<boolean>(count).fill(false);
  for (const place of numbersOf(row?.answer)) found[Number(place) - 1] = true;
  return found;
}

/** The rows as columns: tenants, names, slots, tokens. */
export function columnsOf(held: readonly Held[]): unknown[] {
  return [
    textArray(held.map((one) => one.resource.tenant)),
    textArray(held.map((one) => one.resource.name)),
    plainArray(held.map((one) => one.slot)),
    plainArray(held.map((one) => one.token)),
  ];
}

/** Takes leases of a resource away from whoever holds them. */
export function revokeLeases(
  schema: string,
  { tenant, name }: Resource,
  grace: number,
  token?: bigint,
): Statement {
  return callOf(schema, 'lease_revoke', [
    tenant,
    name,
    interval(grace),
    token === undefined ? null : String(token),
  ]);
}

export function readTokens(row: Row | undefined): bigint[] {
  return numbersOf(row?.answer).map(BigInt);
}

/** Gives up places in queues. */
export function withdraw(schema: string, nonces: readonly string[]): Statement {
  return callOf(schema, 'lease_withdraw', [nonces]);
}

/**
 * The clock of a transaction block stands still at its BEGIN; outside of one it starts with the statement. That shows
 * only in the simple protocol, where a statement is one message: so there are no parameters.
 */
export function guardLease(schema: string, held: readonly Held[]): Statement {
  const calls = held.map(({ resource: { tenant, name }, slot, token }) => {
    return `${identifier(schema)}.guard(${literal(tenant)}, ${literal(name)}, ${token}, ${slot})::text`;
  });
  return {
    name: 'guard',
    text: `select ${calls.join(', ')}, (transaction_timestamp() <> statement_timestamp())::text as inside`,
    values: [],
  };
}
