import {
  callOf,
  identifier,
  interval,
  literal,
  numbersOf,
  type Row,
  rowOf,
  type Statement,
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
}

/** `heldFor`: milliseconds until the present holder expires unless it is renewed, where the server knows. */
export type Answer = { readonly token: bigint } | { readonly heldFor: number | undefined };

/** Without a term the leases live as long as the holder; with one, each has an expiry of its own. */
export function acquireLeases(
  schema: string,
  claimant: Claimant,
  term: number | undefined,
  asks: readonly Ask[],
): Statement {
  return rowOf(schema, 'lease_acquire', [
    claimant.id,
    claimant.epoch,
    term === undefined ? null : interval(term),
    asks.map((ask) => ask.resource.tenant),
    asks.map((ask) => ask.resource.name),
    asks.map((ask) => ask.nonce),
  ]);
}

export function readAnswers(row: Row | undefined, count: number): Answer[] {
  const answers = new Array<Answer>(count).fill({ heldFor: undefined });
  const heldFor = numbersOf(row?.held_for);
  for (const [index, place] of numbersOf(row?.held).entries()) {
    const left = heldFor[index];
    answers[Number(place) - 1] = {
      heldFor: left === undefined || left === 'NULL' ? undefined : Number(left),
    };
  }
  const tokens = numbersOf(row?.tokens);
  for (const [index, place] of numbersOf(row?.granted).entries()) {
    answers[Number(place) - 1] = { token: BigInt(tokens[index] ?? '') };
  }
  return answers;
}

export interface Held {
  readonly resource: Resource;
  readonly token: bigint;
}

export function releaseLeases(schema: string, holder: string, held: readonly Held[]): Statement {
  return callOf(schema, 'lease_release', [holder, ...columnsOf(held)]);
}

export function renewLeases(schema: string, holder: string, term: number, held: readonly Held[]): Statement {
  return callOf(schema, 'lease_renew', [holder, interval(term), ...columnsOf(held)]);
}

/** Which of the calls the server found their lease for, out of the places that it answered. */
export function readFound(row: Row | undefined, count: number): boolean[] {
  const found = new Array<boolean>(count).fill(false);
  for (const place of numbersOf(row?.answer)) found[Number(place) - 1] = true;
  return found;
}

function columnsOf(held: readonly Held[]): unknown[] {
  return [
    held.map((one) => one.resource.tenant),
    held.map((one) => one.resource.name),
    held.map(() => 0),
    held.map((one) => String(one.token)),
  ];
}

/**
 * The clock of a transaction block stands still at its BEGIN; outside of one it starts with the statement. That shows
 * only in the simple protocol, where a statement is one message: so there are no parameters.
 */
export function guardLease(schema: string, { resource, token }: Held): Statement {
  const { tenant, name } = resource;
  const call = `${identifier(schema)}.guard(${literal(tenant)}, ${literal(name)}, ${token})`;
  return {
    name: 'guard',
    text: `select ${call}::text, (transaction_timestamp() <> statement_timestamp())::text as inside`,
    values: [],
  };
}
