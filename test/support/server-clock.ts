import { existsSync, globSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { OwnServer } from './postmaster.ts';

const library = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1').find(existsSync);

/** Whether the clock of a server can be set here: that takes libfaketime, a package of Debian. */
export const clocksCanBeSet = library !== undefined;

/** Starts a server again with a clock that is so many seconds off as the answer is told, from that moment on. */
export async function stepClock(server: OwnServer): Promise<(seconds: number) => Promise<void>> {
  if (library === undefined) throw new Error('libfaketime is not installed');
  const [place] = await server.query<{ data: string }>(`select current_setting('data_directory') as data`);
  // Where the server can read it, whoever it runs as, and which goes with it.
  const file = join(place?.data ?? '', 'clock_offset');
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
  await step(3_600);
  const [row] = await server.query<{ ahead: number }>(
    `select extract(epoch from clock_timestamp())::float8 * 1000 - $1::float8 as ahead`,
    [Date.now()],
  );
  if ((row?.ahead ?? 0) < 3_000_000) throw new Error('the clock of the server was set, and did not move');
  await step(0);
  return step;
}
