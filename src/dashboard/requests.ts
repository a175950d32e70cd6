import type { IncomingMessage } from 'node:http';
import { ArgumentError } from '../core/errors.ts';
import { type Check, duration, integer, optional, text, validate, withDefault } from '../core/options.ts';
import type { Connection } from '../session/connection.ts';
import { type LeaseRow, readLeases } from '../sql/inspect.ts';
import { readTokens, revokeLeases } from '../sql/lease.ts';
import { findLeases } from '../sql/operations.ts';
import type { LeasePage } from './snapshot.ts';

const largestBody = 16_384;
const tenant = text({ maxBytes: 255 });
const name = text({ maxBytes: 1_024 });

/** Held leases, a page of them: `tenant`, `name` for a beginning, `after` as the page before said, `limit`. */
export async function leasesOf(
  connection: Connection,
  schema: string,
  now: () => number,
  asked: URLSearchParams,
): Promise<LeasePage> {
  const given = validate('query', Object.fromEntries(asked), {
    tenant: optional(tenant),
    name: withDefault(name, ''),
    after: optional(place),
    limit: withDefault(number, 50),
  });
  const { after, limit } = given;
  const filter = { tenant: given.tenant, prefix: given.name, after, limit: limit + 1 };
  const found = readLeases(await connection.query(findLeases(schema, filter)));
  const leases = found.slice(0, limit);
  const last = found.length > limit ? leases.at(-1) : undefined;
  return {
    leases: leases.map((lease) => shown(lease, now())),
    next: last === undefined ? null : JSON.stringify([last.tenant, last.name, last.slot]),
  };
}

/** Takes the lease with this token away, and no other: a successor has a greater one. Answers the tokens that it hit. */
export async function revoke(connection: Connection, schema: string, body: unknown): Promise<string[]> {
  const asked = validate('body', body, {
    tenant,
    name,
    token: (argument, value): bigint => {
      if (typeof value === 'string' && /^\d{1,19}$/.test(value)) return BigInt(value);
      throw new ArgumentError(argument, 'the token of the lease: a text of digits', value);
    },
    grace: withDefault(duration({ max: 86_400_000 }), 0),
  });
  const statement = revokeLeases(
    schema,
    { tenant: asked.tenant, name: asked.name },
    asked.grace,
    asked.token,
  );
  return readTokens((await connection.query(statement))[0]).map(String);
}

/** @throws ArgumentError for what is too long or no JSON */
export async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > largestBody) throw new ArgumentError('body', `at most ${largestBody} bytes`, 'more');
    chunks.push(chunk);
  }
  const given = Buffer.concat(chunks).toString();
  try {
    return JSON.parse(given);
  } catch {
    throw new ArgumentError('body', 'JSON', given.slice(0, 40));
  }
}

const number: Check<number> = (argument, value) =>
  integer({ min: 1, max: 500 })(argument, Number(value) || value);

const place: Check<Pick<LeaseRow, 'tenant' | 'name' | 'slot'>> = (argument, value) => {
  try {
    const [one, two, slot] = JSON.parse(String(value)) as unknown[];
    if (typeof one === 'string' && typeof two === 'string' && Number.isSafeInteger(slot))
      return { tenant: one, name: two, slot: slot as number };
  } catch {
    // said below
  }
  throw new ArgumentError(argument, 'a JSON array of tenant, name and slot', value);
};

function shown(lease: LeaseRow, now: number) {
  const { tenant, name, slot, token, application, revoked, expiresAt } = lease;
  const left = expiresAt.getTime() - now;
  return { tenant, name, slot, token: String(token), application, revoked, left, silent: null, ttl: null };
}
