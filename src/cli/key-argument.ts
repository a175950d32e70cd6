import { ArgumentError } from '../core/errors.ts';
import type { Key } from '../core/key.ts';

/** A key as people type it: a text, or its parts as a JSON array. */
export function keyOf(text: string): Key {
  if (!text.startsWith('[')) return text;
  try {
    const parts: unknown = JSON.parse(text);
    if (Array.isArray(parts) && parts.every((part) => typeof part === 'string' || Number.isSafeInteger(part)))
      return parts as Key;
  } catch {
    // said below
  }
  throw new ArgumentError('key', 'a text, or a JSON array of texts and whole numbers', text);
}
