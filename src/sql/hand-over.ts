import { type Claimant, columnsOf, type Held, type Resource } from './lease.ts';
import { callOf, interval, numbersOf, type Row, type Statement } from './statement.ts';

/** A lease on its way from one process to another. */
export interface HandOver {
  readonly held: readonly [Held, ...Held[]];
  /** Whoever knows it can take the lease up, once. */
  readonly secret: string;
}

/** A call that takes it up; the nonce is the same for every time it is sent. */
export interface Resumption extends HandOver {
  /** That of its first row. */
  readonly resource: Resource;
  readonly nonce: string;
}

/** Lets whoever knows the secret take the lease up within the term, in milliseconds. */
export function handOver(
  schema: string,
  holder: string,
  term: number,
  { held, secret }: HandOver,
): Statement {
  return callOf(schema, 'lease_hand_over', [holder, interval(term), ...columnsOf(held), secret]);
}

export function resume(
  schema: string,
  { id, epoch }: Claimant,
  term: number | undefined,
  { held, secret, nonce }: Resumption,
): Statement {
  const given = term === undefined ? null : interval(term);
  return callOf(schema, 'lease_resume', [id, epoch, given, ...columnsOf(held), secret, nonce]);
}

/** The lease with its new tokens; undefined while a guard of the one before is open. */
export function readResumed(row: Row | undefined, { held }: HandOver): [Held, ...Held[]] | undefined {
  if (row?.answer == null) return undefined;
  const tokens = numbersOf(row.answer);
  const renewed = held.map((one, place) => ({ ...one, token: BigInt(tokens[place] ?? '') }));
  return renewed as [Held, ...Held[]];
}
