import { ArgumentError } from '../core/errors.ts';
import { type Key, keyHash, keyText } from '../core/key.ts';

/** The number of one key. */
export function hashOf([key]: readonly Key[], namespace: string): bigint[] {
  return [keyHash('key', key as Key, namespace)];
}

/**
 * The numbers of keys that are to be locked together, each once and in ascending order: everybody who takes several
 * takes them in this order, so nobody waits for one who waits for him.
 */
export function hashesOf(keys: readonly Key[], namespace: string): bigint[] {
  if (!Array.isArray(keys) || keys.length === 0) {
    throw new ArgumentError('keys', 'an array of at least one key', keys);
  }
  const hashes = keys.map((key, place) => keyHash(`keys[${place}]`, key, namespace));
  return [...new Set(hashes)].sort((a, b) => (a < b ? -1 : 1));
}

const mostShown = 5;

/** What an error calls them. */
export function textOf(keys: readonly Key[]): string {
  if (keys.length === 1) return keyText('key', keys[0] as Key);
  const shown = keys.slice(0, mostShown).map((key) => keyText('key', key));
  const hidden = keys.length - shown.length;
  return hidden > 0 ? `${shown.join(', ')} and ${hidden} more` : shown.join(', ');
}
