import { existsSync, globSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OwnServer } from './postmaster.ts';

const library = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1').find(existsSync);

/** Whether the clock of a server can be set here: that takes libfaketime, a package of Debian. */
export const clocksCanBeSet = library !== undefined;

/** Starts a server again with a clock that is so many seconds off as the answer is told, from that moment on. */
export async function stepClock(server: OwnServer): Promise<(seconds: number) => Promise<void>> {
  if (library === undefined) throw new Error('libfaketime is not installed');
  const file = join(await mkdtemp(join(tmpdir(), 'fencepost-clock-')), 'offset');
  const step = (seconds: number): Promise<void> =>
    writeFile(file, `${seconds < 0 ? '' : '+'}${seconds}\n`, { mode: 0o644 });
  await step(0);
  await server.restart('fast', {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    // The monotonic clock is what a server waits by: no step of the wall clock moves it.
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    DONT_FAKE_MONOTONIC: '1',
  });
  return step;
}
