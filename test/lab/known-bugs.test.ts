import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { knownBugs } from './known-bugs.ts';

const read = (file: string): string => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');

test.each(knownBugs)(
  'the bug "$name" can still be planted, and the test that catches it is there',
  ({ edits, test: { file, name } }) => {
    for (const edit of edits) expect(read(edit.file)).toContain(edit.from);
    // Some tests of a file stand in another one that it runs.
    expect(
      read(file) +
        read(file.replace('-locks.test.ts', '-lock-rules.ts').replace(/^test.contract.session.*/, file)),
    ).toContain(name);
  },
);
