import type { Moment } from '../core/clock.ts';
import { ArgumentError } from '../core/errors.ts';
import { marginOf } from '../core/handle.ts';
import { type Check, integer, validate, withDefault } from '../core/options.ts';

/** How locks are acquired, extended and released: names and defaults of node-redlock. */
export interface Settings {
  /** The part of the duration by which clocks may drift apart; a lock counts that much shorter. 0.01 by default. */
  readonly driftFactor: number;
  /** How many attempts follow the first one; -1: without end. 10 by default. */
  readonly retryCount: number;
  /** Milliseconds from one attempt to the next. 200 by default. */
  readonly retryDelay: number;
  /** Milliseconds by which that is longer or shorter at random. 100 by default. */
  readonly retryJitter: number;
  /** `using` extends the lock when so many milliseconds of it are left. 500 by default. */
  readonly automaticExtensionThreshold: number;
}

const most = 2 ** 31 - 1;
const fraction: Check<number> = (argument, value) => {
  if (typeof value === 'number' && value >= 0 && value < 1) return value;
  throw new ArgumentError(argument, 'a number from 0 to less than 1', value);
};

/** What was given, over what holds without it. */
export function readSettings(given: Partial<Settings> | undefined, base?: Settings): Settings {
  return validate('settings', given ?? {}, {
    driftFactor: withDefault(fraction, base?.driftFactor ?? 0.01),
    retryCount: withDefault(integer({ min: -1, max: most }), base?.retryCount ?? 10),
    retryDelay: withDefault(integer({ min: 0, max: most }), base?.retryDelay ?? 200),
    retryJitter: withDefault(integer({ min: 0, max: most }), base?.retryJitter ?? 100),
    automaticExtensionThreshold: withDefault(
      integer({ min: 0, max: most }),
      base?.automaticExtensionThreshold ?? 500,
    ),
  });
}

/** The names, each once, in one order for everybody: whoever has the last of them has all. */
export function readResources(given: string | readonly string[]): [string, ...string[]] {
  const list: readonly unknown[] = Array.isArray(given) ? given : [given];
  const names = [...new Set(list)].map((name) => {
    if (typeof name === 'string') return name;
    throw new ArgumentError('resources', 'an array of strings', given);
  });
  const [first, ...others] = names.sort();
  if (first === undefined) throw new ArgumentError('resources', 'at least one resource', given);
  return [first, ...others];
}

export function readDuration(given: number): number {
  return integer({ min: 1, max: 2_000_000_000 })('duration', given);
}

/** Milliseconds that a lock is valid for: what Redlock calls MIN_VALIDITY, before the time that acquiring took. */
export function validityOf(duration: number, { driftFactor }: Settings): number {
  return duration - Math.round(driftFactor * duration) - 2;
}

/** Until when it is valid, on the clock that `Date.now()` reads. */
export function expirationOf(started: Moment, validity: number): number {
  return Math.floor(started.wall + validity);
}

/**
 * The term of the leases, in milliseconds. A lease stops to believe a margin before its end, and must not do so while
 * the lock is valid. In two digits, so that locks of many durations need few holders.
 */
export function termOf(validity: number): number {
  let term = Math.max(50, validity);
  term += Math.max(marginOf(term / 0.9), 5);
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(term)) - 1);
  return Math.ceil(term / unit) * unit;
}

/** How long a server has for its vote: of several, one that is slow must not use up the time of the others' votes. */
export function patienceOf(duration: number, servers: number): number {
  return servers === 1 ? duration : Math.min(duration, Math.max(500, Math.min(duration / 4, 2_000)));
}

export function retryDelayOf({ retryDelay, retryJitter }: Settings): number {
  return Math.max(0, retryDelay + Math.floor((Math.random() * 2 - 1) * retryJitter));
}
