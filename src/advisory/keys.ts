import { ArgumentError } from '../core/errors.ts';
import { type Key, keyHash, keyText } from '../core/key.ts';

/** A key as locks need it. */
export interface Numbered {
  /** In readable form. */
  readonly text: string;
  /** Its 64-bit number, in decimal. */
  readonly number: string;
}

/** So many keys are remembered, twice at most. */
const mostRecent = 4_096;
const longestText = 256;

/** The numbers of keys; of those that were used lately out of memory, as a number is a SHA-256. */
export class Numbers {
  readonly #namespace: string;
  #recent = new Map<string, Numbered>();
  #older = new Map<string, Numbered>();

  constructor(namespace: string) {
    this.#namespace = namespace;
  }

  /** @throws ArgumentError, as `keyHash` */
  of(argument: string, key: Key): Numbered {
    const text = keyText(argument, key);
    return this.#recent.get(text) ?? this.#remember(argument, key, text);
  }

  #remember(argument: string, key: Key, text: string): Numbered {
    const known = this.#older.get(text);
    const numbered = known ?? { text, number: String(keyHash(argument, key, this.#namespace)) };
    if (text.length > longestText) return numbered;
    if (this.#recent.size >= mostRecent) {
      this.#older = this.#recent;
      this.#recent = new Map();
    }
    this.#recent.set(text, numbered);
    return numbered;
  }
}

/** The numbers of what is to be locked together, and what it is called. */
export interface NumberedSet {
  readonly hashes: readonly string[];
  readonly text: string;
}

export function numberedKey(numbers: Numbers, [key]: readonly Key[]): NumberedSet {
  const { number, text } = numbers.of('key', key as Key);
  return { hashes: [number], text };
}

/**
 * The numbers of keys that are to be locked together, each once and in ascending order: everybody who takes several
 * takes them in this order, so nobody waits for one who waits for him.
 */
export function numberedKeys(numbers: Numbers, keys: readonly Key[]): NumberedSet {
  if (!Array.isArray(keys) || keys.length === 0) {
    throw new ArgumentError('keys', 'an array of at least one key', keys);
  }
  const hashes = keys.map((key, place) => BigInt(numbers.of(`keys[${place}]`, key).number));
  return { hashes: [...new Set(hashes)].sort((a, b) => (a < b ? -1 : 1)).map(String), text: textOf(keys) };
}

const mostShown = 5;

/** What an error calls them. */
function textOf(keys: readonly Key[]): string {
  if (keys.length === 1) return keyText('key', keys[0] as Key);
  const shown = keys.slice(0, mostShown).map((key) => keyText('key', key));
  const hidden = keys.length - shown.length;
  return hidden > 0 ? `${shown.join(', ')} and ${hidden} more` : shown.join(', ');
}
