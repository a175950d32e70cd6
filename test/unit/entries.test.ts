import { expect, test } from 'vitest';
import { Entries } from '../../src/core/entries.ts';

test('what is in use stays, whatever comes and goes; of the idle there are never many', () => {
  const entries = new Entries<number, { idle: boolean }>();
  const used = new Map<number, { idle: boolean }>();
  for (let key = 0; key < 50_000; key += 1) {
    const entry = entries.add(key, { idle: key % 97 !== 0 });
    if (!entry.idle) used.set(key, entry);
    // Some of those in use are done with later.
    if (key % 500 === 0) {
      for (const [old, one] of [...used].slice(0, 3)) {
        one.idle = true;
        used.delete(old);
      }
    }
    if (key % 1_000 > 0) continue;
    for (const [one, value] of used) expect(entries.get(one)).toBe(value);
    expect([...entries.values()].length).toBeLessThan(2 * used.size + 3_000);
  }
});
