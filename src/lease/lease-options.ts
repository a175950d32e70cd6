import type { Duration } from '../core/duration.ts';
import { ArgumentError } from '../core/errors.ts';
import {
  boolean,
  type Check,
  duration,
  integer,
  oneOf,
  optional,
  signal,
  validate,
  withDefault,
} from '../core/options.ts';
import type { Resource } from '../sql/lease.ts';
import type { Width } from './lines.ts';

/** How a lease is acquired. */
export interface LeaseOptions {
  /**
   * How long the lease outlives its process: the longest time others wait after a crash. A shorter ttl frees sooner
   * after a crash, and loses the lease sooner when the process or the network pauses. A process has one heartbeat for
   * each ttl in use, every third of it: prefer few different ones. From 50 ms to 24 days; 30 seconds by default.
   */
  readonly ttl?: Duration | undefined;
  /**
   * How long to wait while somebody else holds it. For ever by default for `acquire` and `using`, 0 for `tryAcquire`.
   */
  readonly wait?: Duration | undefined;
  /** Ends the wait: the call rejects with the signal's reason and holds nothing. Does not touch a granted lease. */
  readonly signal?: AbortSignal | undefined;
  /**
   * `false`: the lease expires after `ttl` unless `lease.renew()` is called, though the process is alive. Then each
   * renewal costs a statement. `true` by default: it lives as long as its process can reach the database.
   */
  readonly renew?: boolean | undefined;
  /**
   * `true`, together with `renew: false`: `fencepost.close()` does not release the lease, which then stays until its
   * `ttl` is over, as a key in Redis does. For what may happen once in so much time, whoever comes next. `false` by
   * default: the next one need not wait for a process that has ended in good order.
   */
  readonly keep?: boolean | undefined;
  /**
   * How many may hold it at the same time, from 1 to 10,000; 1 by default. A caller with a greater number than the
   * others can get in at once; one with a smaller number waits until enough of them have left. With `{ tenant, total }`
   * the key has a tenant, of which `tenant` may hold it, and over all tenants `total`; the lease of the same name without
   * a tenant keeps the total. A slot costs a row, and more work than an exclusive lease.
   */
  readonly slots?: number | { readonly tenant: number; readonly total: number } | undefined;
  /**
   * `'shared'`: together with any number of others who ask for it shared, and with nobody who does not. They are
   * served in the order of their calls, across processes, so that neither readers nor writers starve. `'exclusive'` by
   * default.
   */
  readonly mode?: 'exclusive' | 'shared' | undefined;
  /**
   * `true`: in the order of the calls, across processes, among those who ask for it fair. A call that waits has a ticket
   * in the database, which costs two writes. Of a process that has died it is skipped once its `ttl` is over. `false` by
   * default: in the order of the calls within a process, in no particular one across processes.
   */
  readonly fair?: boolean | undefined;
  /**
   * What operators see next to the lease: an object of at most 4,096 bytes as JSON. Whoever may read the views can read
   * it, so no secrets.
   */
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
}

/** Options as the code works with them. */
export interface LeaseTerms {
  readonly ttl: number;
  readonly wait: number;
  readonly signal: AbortSignal | undefined;
  readonly renew: boolean;
  readonly keep: boolean;
  readonly slots: number;
  readonly total: number | undefined;
  readonly shared: boolean;
  readonly fair: boolean;
  readonly metadata: string | undefined;
  readonly width: Width;
}

export const shortestTtl = 50;
const mostSlots = 10_000;
const mostMetadata = 4_096;

/** What every way to get a lease can be told. */
export const tenureChecks = {
  ttl: withDefault(duration({ min: shortestTtl }), 30_000),
  wait: optional(duration({ max: Infinity })),
  signal: optional(signal()),
  renew: withDefault(boolean(), true),
};

export function readLeaseOptions(
  given: LeaseOptions | undefined,
  resource: Resource,
  defaultWait: number,
): LeaseTerms {
  const common = given === undefined ? unboundTerms : termsByTtl(given);
  if (common !== undefined) return defaultWait === Infinity ? common : { ...common, wait: defaultWait };
  return readAll(given, resource, defaultWait);
}

function readAll(given: LeaseOptions | undefined, resource: Resource, defaultWait: number): LeaseTerms {
  const options = validate('options', given, leaseChecks);
  const { ttl, wait = defaultWait, signal, renew, keep, slots, mode, fair, metadata } = options;
  if (slots !== undefined && mode !== undefined) {
    throw new ArgumentError('options.mode', 'no mode together with slots', mode);
  }
  if (slots?.total !== undefined && resource.tenant === '') {
    throw new ArgumentError('options.slots', 'a number, as the key has no tenant', slots);
  }
  if (keep && renew) {
    throw new ArgumentError('options.keep', 'true only together with renew: false', true);
  }
  const { limit, total } = slots ?? alone;
  const shared = mode === 'shared';
  const width = shared ? 'readers' : limit;
  return { ttl, wait, signal, renew, keep, slots: limit, total, shared, fair, metadata, width };
}

const alone = { limit: 1, total: undefined };

const slotLimits: Check<{ limit: number; total: number | undefined }> = (argument, value) => {
  const count = integer({ min: 1, max: mostSlots });
  if (typeof value !== 'object') return { limit: count(argument, value), total: undefined };
  const { tenant, total } = validate(argument, value, { tenant: count, total: count });
  if (tenant <= total) return { limit: tenant, total };
  throw new ArgumentError(`${argument}.tenant`, `at most the total of ${total}`, tenant);
};

const json: Check<string> = (argument, value) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ArgumentError(argument, 'an object', value);
  }
  const text = serialized(argument, value);
  // In SQL it is written with a space after each colon and comma, so the check there allows for more.
  if (Buffer.byteLength(text) <= mostMetadata && !/\\u0000/.test(text)) return text;
  throw new ArgumentError(argument, `at most ${mostMetadata} bytes as JSON, without NUL`, value);
};

function serialized(argument: string, value: object): string {
  try {
    return JSON.stringify(value);
  } catch {
    throw new ArgumentError(argument, 'an object that can be written as JSON', value);
  }
}

const leaseChecks = {
  ...tenureChecks,
  keep: withDefault(boolean(), false),
  slots: optional(slotLimits),
  mode: optional(oneOf('exclusive', 'shared')),
  fair: withDefault(boolean(), false),
  metadata: optional(json),
};

/** What most calls ask for. Read once. */
const unboundTerms = readAll({}, { tenant: '', name: '' }, Infinity);

/** The same with a ttl, which is what others ask for: to read options anew is a fifth of what a call costs. */
const knownTerms = new Map<unknown, LeaseTerms>();
const mostKnown = 100;

/** The terms of who gives a ttl and nothing else. */
function termsByTtl(given: LeaseOptions): LeaseTerms | undefined {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return undefined;
  for (const name in given) if (name !== 'ttl') return undefined;
  const { ttl } = given;
  const known = knownTerms.get(ttl);
  if (known !== undefined || knownTerms.size >= mostKnown) return known;
  const terms = readAll(given, { tenant: '', name: '' }, Infinity);
  knownTerms.set(ttl, terms);
  return terms;
}
