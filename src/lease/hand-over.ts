import type { Duration } from '../core/duration.ts';
import { ArgumentError } from '../core/errors.ts';
import { duration, type Validated, validate, withDefault } from '../core/options.ts';
import type { HandOver } from '../sql/hand-over.ts';
import type { LeaseOptions } from './lease-options.ts';
import { shortestTtl, tenureChecks } from './lease-options.ts';

/** How a lease is handed over. */
export interface HandOverOptions {
  /**
   * How long nobody else gets the lease while it waits to be taken up. Longer forgives a slow start of the next process,
   * shorter frees the lease sooner when that never starts. From 50 ms on; 30 seconds by default.
   */
  readonly within?: Duration | undefined;
}

/** How a lease that was handed over is taken up. */
export type ResumeOptions = Pick<LeaseOptions, 'ttl' | 'wait' | 'signal' | 'renew'>;

export function readWithin(given: HandOverOptions | undefined): number {
  return validate('options', given, { within: withDefault(duration({ min: shortestTtl }), 30_000) }).within;
}

export function readResumeOptions(given: ResumeOptions | undefined): Validated<typeof tenureChecks> {
  return validate('options', given, tenureChecks);
}

/** As one word, for an argument, a header or a message. */
export function textOfHandOver({ held, secret }: HandOver): string {
  const rows = held.map(({ resource: { tenant, name }, slot, token }) => [tenant, name, slot, String(token)]);
  return Buffer.from(JSON.stringify([secret, ...rows])).toString('base64url');
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function readHandOver(argument: string, text: unknown): HandOver {
  // What came is not shown: it may be a secret.
  const wrong = new ArgumentError(argument, 'a text that handOver() gave', typeof text);
  if (typeof text !== 'string') throw wrong;
  try {
    const [secret, ...rows] = JSON.parse(Buffer.from(text, 'base64url').toString()) as [
      string,
      ...unknown[][],
    ];
    const held = rows.map(([tenant, name, slot, token]) => ({
      resource: { tenant: String(tenant), name: String(name) },
      slot: Number(slot),
      token: BigInt(token as string),
    }));
    const [first, ...rest] = held;
    const sound = uuid.test(secret) && held.every(({ slot }) => Number.isSafeInteger(slot));
    if (first !== undefined && sound) return { held: [first, ...rest], secret };
  } catch {
    throw wrong;
  }
  throw wrong;
}
