import type { Attributes } from '@opentelemetry/api';
import type { Subject } from '../core/events.ts';

/** What can be known of a key before it becomes an attribute. */
export type FamilySubject = Pick<Subject, 'kind' | 'key' | 'family' | 'tenant'>;

/** What all families are called that come after there are as many as there may be. */
export const otherFamilies = '_other';

/** Attributes by the family of a key, never by the key: each new value is a new series for ever. */
export class Families {
  readonly #familyOf: (subject: FamilySubject) => string;
  readonly #most: number;
  readonly #known = new Set<string>();

  constructor(familyOf: (subject: FamilySubject) => string, most: number) {
    this.#familyOf = familyOf;
    this.#most = most;
  }

  of(subject: FamilySubject): string {
    const family = this.#familyOf(subject);
    if (this.#known.has(family)) return family;
    if (this.#known.size >= this.#most) return otherFamilies;
    this.#known.add(family);
    return family;
  }

  attributes(subject: FamilySubject & Partial<Pick<Subject, 'mode'>>): Attributes {
    const attributes: Attributes = { 'fencepost.kind': subject.kind, 'fencepost.family': this.of(subject) };
    if (subject.mode !== undefined) attributes['fencepost.mode'] = subject.mode;
    return attributes;
  }
}

/** What kind of error, for an attribute: its code where it has one of ours. */
export function errorType(error: unknown): string {
  if (!(error instanceof Error)) return '_OTHER';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
