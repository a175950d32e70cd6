import { chmodSync, readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { closedClone } from './fixtures/closed-clone.ts';
import { program } from './fixtures/program.ts';
import { remains, type Whereabouts } from './fixtures/whereabouts.ts';

// Copying the binaries takes its time on a busy disk.
const limit = { timeout: 60_000 };

test(
  'a server starts from a clone that other users cannot enter, and leaves it as it was',
  limit,
  async () => {
    using clone = closedClone();
    using run = program(clone.owner, 'stop');
    const server = await run.said<Whereabouts>();
    await run.ended;
    expect(await remains(server)).toEqual([]);
    expect(readdirSync(run.temporary)).toEqual([]);
  },
);

test('a server starts although the temporary folder is closed to other users', limit, async () => {
  using clone = closedClone();
  using run = program(clone.owner, 'stop');
  chmodSync(run.temporary, 0o700);
  const server = await run.said<Whereabouts>();
  await run.ended;
  expect(await remains(server)).toEqual([]);
  expect(readdirSync(run.temporary)).toEqual([]);
});
