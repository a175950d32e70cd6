import { closestMatch } from 'leven';
import { type Duration, type DurationLimits, milliseconds } from './duration.ts';
import { ArgumentError } from './errors.ts';

/** Turns what a caller gave for one argument into what the code works with, or throws an `ArgumentError`. */
export type Check<Value> = (argument: string, value: unknown) => Value;

type Checks = Readonly<Record<string, Check<unknown>>>;

/** What `validate` returns for a record of checks. */
export type Validated<Known extends Checks> = { readonly [Name in keyof Known]: ReturnType<Known[Name]> };

/**
 * Checks the options a caller gave, one check an option, and returns them, with defaults in place of what is absent. An option that is `undefined` counts as absent, and so do all of them when `given` is `undefined`.
 *
 * @throws ArgumentError for what is no object, for a name without a check, and whatever the checks throw
 *
 * @example
 * const { ttl, signal } = validate('options', { ttl: '5s' }, {
 *   ttl: withDefault(duration({ min: 1_000 }), 30_000),
 *   signal: optional(signal()),
 * }); // ttl is 5000, signal undefined
 */
export function validate<Known extends Checks>(
  argument: string,
  given: unknown,
  known: Known,
): Validated<Known> {
  const options = given === undefined ? {} : given;
  if (!isRecord(options)) {
    // Only the kind of what came: it may be a connection string with its password.
    throw new ArgumentError(argument, 'an object of options', Object.prototype.toString.call(options));
  }
  for (const name in options) if (!Object.hasOwn(known, name)) refuseUnknown(argument, options, known);
  // A loop: it runs for each lock, and entries made into an object again cost four times as much.
  const checked: Record<string, unknown> = {};
  for (const name in known) checked[name] = known[name]?.(`${argument}.${name}`, options[name]);
  return checked as Validated<Known>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refuseUnknown(argument: string, options: object, checks: Checks): void {
  const given = Object.keys(options);
  const known = Object.keys(checks);
  const unknown = given.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const meant = closestMatch(unknown, known, { maxDistance: Math.ceil(unknown.length / 3) });
  const hint = meant === undefined ? '' : `; did you mean '${meant}'?`;
  throw new ArgumentError(argument, `only ${known.join(', ')} (unknown option '${unknown}'${hint})`, given);
}

/** Absent is `undefined`; anything else has to pass the check. */
export function optional<Value>(check: Check<Value>): Check<Value | undefined> {
  return (argument, value) => (value === undefined ? undefined : check(argument, value));
}

/** Absent is the default, which is not checked; anything else has to pass the check. */
export function withDefault<Value>(check: Check<Value>, absent: NoInfer<Value>): Check<Value> {
  return (argument, value) => (value === undefined ? absent : check(argument, value));
}

/** A `Duration`, in milliseconds. */
export function duration(limits?: DurationLimits): Check<number> {
  return (argument, value) => milliseconds(argument, value as Duration, limits);
}

export function boolean(): Check<boolean> {
  return (argument, value) => {
    if (typeof value === 'boolean') return value;
    throw new ArgumentError(argument, 'true or false', value);
  };
}

/** A whole number that JavaScript represents exactly, between the limits, both included. */
export function integer(limits: { readonly min?: number; readonly max?: number } = {}): Check<number> {
  const { min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = limits;
  return (argument, value) => {
    if (Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max) return Number(value);
    throw new ArgumentError(argument, `a whole number from ${min} to ${max}`, value);
  };
}

export function oneOf<const Value extends string>(...values: readonly Value[]): Check<Value> {
  return (argument, value) => {
    const found = values.find((candidate) => candidate === value);
    if (found !== undefined) return found;
    throw new ArgumentError(argument, values.map((candidate) => `'${candidate}'`).join(' or '), value);
  };
}

/** A string that Postgres can store, between the limits, counted in bytes of UTF-8. */
export function text(limits: { readonly minBytes?: number; readonly maxBytes: number }): Check<string> {
  const { minBytes = 0, maxBytes } = limits;
  return (argument, value) => {
    const stored = storableText(argument, value);
    const bytes = Buffer.byteLength(stored);
    if (bytes >= minBytes && bytes <= maxBytes) return stored;
    throw new ArgumentError(argument, `a string of ${minBytes} to ${maxBytes} bytes`, value);
  };
}

/** A string that Postgres can store: it has no NUL, and no half of a surrogate pair, which UTF-8 cannot express. */
export function storableText(argument: string, value: unknown): string {
  if (typeof value === 'string' && isStorable(value)) return value;
  throw new ArgumentError(argument, 'a string without NUL and without lone surrogates', value);
}

export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

export function signal(): Check<AbortSignal> {
  return (argument, value) => {
    if (value instanceof AbortSignal) return value;
    throw new ArgumentError(argument, 'an AbortSignal', value);
  };
}
