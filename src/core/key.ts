import { hash } from 'node:crypto';
import { ArgumentError } from './errors.ts';
import { isStorable, storableText } from './options.ts';

/**
 * What a lock is about: a string, a list of parts, or a number that is used as it is.
 *
 * - `'invoice'` and `['invoice']` are one key.
 * - Parts are kept apart: `['a', 'bc']`, `['ab', 'c']` and `'a:bc'` are three keys.
 * - A number or a bigint in a list stands for its decimal text: `['invoice', 7]`, `['invoice', 7n]` and
 *   `['invoice', '7']` are one key, on purpose. A driver returns an `int8` column as a string, and two spellings
 *   of one id must exclude each other. Numbers have to be safe integers.
 * - A bigint alone is the 64-bit number itself, for teams that already have such keys: `7n` is not `'7'`, and no
 *   namespace sets it apart.
 *
 * Strings are compared byte by byte: case and Unicode normalisation make a difference. They have no NUL and no
 * lone surrogates.
 */
export type Key = string | bigint | readonly (string | number | bigint)[];

const maxEncodedBytes = 8_192;

/**
 * The 64-bit number that stands for a key in Postgres; `fencepost.key_in(namespace, ...parts)` computes the same one
 * in SQL. Keys may share a number, and then exclude each other for no reason: among a million keys in use at one
 * time, the chance that any two do is 1 in 37 million.
 *
 * @param argument what an error calls the key
 * @throws ArgumentError when it is no key, when a bigint does not fit into 64 bits with sign, or when namespace and
 *   parts, each with its length in front, have more than 8,192 bytes
 *
 * @example
 * keyHash('key', ['invoice', 7]) === keyHash('key', ['invoice', '7']); // true
 */
export function keyHash(argument: string, key: Key, namespace = ''): bigint {
  if (typeof key === 'bigint') return signed64(argument, key);
  const encoded = netstring(storableText('namespace', namespace)) + encodedParts(argument, key);
  if (Buffer.byteLength(encoded) > maxEncodedBytes) {
    const expected = `at most ${maxEncodedBytes} bytes with its namespace and the lengths of its parts`;
    throw new ArgumentError(argument, expected, key);
  }
  return BigInt.asIntN(64, BigInt(`0x${hash('sha256', encoded).slice(0, 16)}`));
}

/**
 * A key as a text that people can read and that no other key has. A string is itself, a list of more parts is JSON,
 * and a bigint has a `#` in front; a string that could be taken for one of those two gets a `\` in front.
 *
 * @param argument what an error calls the key
 * @throws ArgumentError when it is no key. The length of the text is not limited.
 *
 * @example
 * keyText('key', ['invoice', 7]); // '["invoice","7"]'
 */
export function keyText(argument: string, key: Key): string {
  if (typeof key === 'bigint') return `#${signed64(argument, key)}`;
  const texts = typeof key === 'string' ? undefined : parts(argument, key);
  if (texts !== undefined && texts.length > 1) return JSON.stringify(texts);
  const text = texts === undefined ? storableText(argument, key) : (texts[0] ?? '');
  return /^[[#\\]/.test(text) ? `\\${text}` : text;
}

/**
 * What a key is about, from its text: the first part of a list; `#` for a bigint; else the text before its first digit or
 * one of `: / . #`, without what joins the two. The same as `family` in SQL.
 *
 * @example
 * familyOf(keyText('key', ['invoice', 7])); // 'invoice', as for 'invoice:7'
 */
export function familyOf(keyText: string): string {
  if (keyText.startsWith('["')) return keyText.split('"', 2)[1] ?? '';
  if (keyText.startsWith('#')) return '#';
  const [text = ''] = /^[^0-9:/.#]*/.exec(keyText.replace(/^\\+/, '')) ?? [];
  return text.replace(/[ _-]+$/, '');
}

function signed64(argument: string, key: bigint): bigint {
  if (BigInt.asIntN(64, key) === key) return key;
  throw new ArgumentError(argument, 'a bigint that fits into 64 bits with sign', key);
}

function encodedParts(argument: string, key: Exclude<Key, bigint>): string {
  return typeof key === 'string'
    ? netstring(storableText(argument, key))
    : parts(argument, key).map(netstring).join('');
}

function parts(argument: string, key: Exclude<Key, bigint>): string[] {
  if (typeof key === 'string') return [storableText(argument, key)];
  if (Array.isArray(key) && key.length > 0) {
    const texts: string[] = [];
    for (let place = 0; place < key.length; place += 1) texts.push(partText(argument, place, key[place]));
    return texts;
  }
  throw new ArgumentError(argument, 'a string, a bigint, or an array of at least one part', key);
}

function partText(argument: string, place: number, part: unknown): string {
  if (typeof part === 'bigint' || Number.isSafeInteger(part)) return String(part);
  if (typeof part === 'string' && isStorable(part)) return part;
  // Its name is made for those that fail: of each part of each lock it costs as much as the rest.
  const name = `${argument}[${place}]`;
  if (typeof part === 'string') return storableText(name, part);
  throw new ArgumentError(name, 'a string, a safe integer or a bigint', part);
}

function netstring(text: string): string {
  return `${Buffer.byteLength(text)}:${text}`;
}
