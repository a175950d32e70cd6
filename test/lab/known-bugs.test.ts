import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { knownBugs } from './known-bugs.ts';

const read = (file: string): string => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');

test.each(knownBugs)(
  'the bug "$name" can still be planted, and the test that catches it is there',
  ({ edits, test: { file, name } }) => {
    for (const edit of edits) expect(read(edit.file)).toContain(edit.from);
    // A test of several cases has a place for each of them in its name.
    for (const part of name.split(/an? (?:timeout|abort)/)) expect(read(file)).toContain(part);
  },
);
