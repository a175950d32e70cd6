import { ArgumentError } from './errors.ts';

/**
 * A length of time: a number of milliseconds, or a number with its unit, such as `'500ms'`, `'1.5s'`, `'10m'`,
 * `'2h'` or `'1d'`. There is nothing between the number and the unit, and no sign.
 */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`;

/** The shortest and the longest duration that is accepted, in milliseconds. */
export interface DurationLimits {
  readonly min?: number;
  /** `Infinity` also lets a caller say "for ever". The default is the longest time that a timer of Node can wait. */
  readonly max?: number;
}

const longestTimer = 2 ** 31 - 1;
const written = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;
const unitLengths = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
]);

/**
 * A duration in whole milliseconds; fractions of one are rounded.
 *
 * @param argument what an error calls the value, such as `options.ttl`
 * @throws ArgumentError when it is no duration, negative, or outside the limits
 *
 * @example
 * milliseconds('ttl', '1.5s'); // 1500
 */
export function milliseconds(argument: string, value: Duration, limits: DurationLimits = {}): number {
  const { min = 0, max = longestTimer } = limits;
  const exact = read(value);
  const whole = Math.round(exact);
  if (exact >= 0 && whole >= min && whole <= max) return whole;
  const range = max === Infinity ? `at least ${min} ms` : `from ${min} to ${max} ms`;
  throw new ArgumentError(argument, `a number of milliseconds or a string such as '30s', ${range}`, value);
}

function read(value: unknown): number {
  if (typeof value === 'number') return value;
  const [, amount, unit = ''] = typeof value === 'string' ? (written.exec(value) ?? []) : [];
  return Number(amount) * (unitLengths.get(unit) ?? Number.NaN);
}
