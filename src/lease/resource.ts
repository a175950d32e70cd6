import { ArgumentError } from '../core/errors.ts';
import type { Subject } from '../core/events.ts';
import { familyOf, type Key, keyHash, keyText } from '../core/key.ts';
import { optional, text, validate } from '../core/options.ts';
import type { Resource } from '../sql/lease.ts';

/** What a lease is of: a key, or a key of one tenant. The same name under two tenants is two leases. */
export type LeaseKey = Key | { readonly tenant?: string | undefined; readonly name: Key };

/** What sort of lease, for events. */
export type Sort = Pick<Subject, 'kind' | 'mode'>;

export const lease: Sort = { kind: 'lease', mode: 'exclusive' };
export const sharedLease: Sort = { kind: 'lease', mode: 'shared' };
export const election: Sort = { kind: 'election', mode: 'exclusive' };

const maxNameBytes = 1_024;
const maxTenantBytes = 255;

const keyChecks = {
  tenant: optional(text({ maxBytes: maxTenantBytes })),
  name: (argument: string, value: unknown) => nameOf(argument, value as Key),
};

export function resourceOf(argument: string, key: LeaseKey): Resource {
  if (typeof key !== 'object' || Array.isArray(key))
    return { tenant: '', name: nameOf(argument, key as Key) };
  const { tenant, name } = validate(argument, key, keyChecks);
  return { tenant: tenant ?? '', name };
}

/** How errors and handles call it. */
export function resourceText({ tenant, name }: Resource): string {
  return tenant === '' ? name : `${tenant}/${name}`;
}

/** What events say of it. */
export function aboutResource(resource: Resource, { kind, mode }: Sort): Subject {
  const { tenant, name } = resource;
  return { kind, key: resourceText(resource), family: familyOf(name), tenant, mode };
}

/** By what messages name it: other roles may listen, so it is a number. `wake` in SQL computes the same one. */
export function topicOf({ tenant, name }: Resource): string {
  return String(keyHash('key', [tenant, name]));
}

function nameOf(argument: string, key: Key): string {
  const name = keyText(argument, key);
  if (Buffer.byteLength(name) <= maxNameBytes) return name;
  throw new ArgumentError(argument, `at most ${maxNameBytes} bytes of UTF-8`, name);
}
