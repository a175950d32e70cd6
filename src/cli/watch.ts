import type { Command } from 'commander';
import { pause } from '../core/abort.ts';
import { keepAlive, systemClock } from '../core/clock.ts';
import { type Duration, milliseconds } from '../core/duration.ts';
import { Database } from '../session/database.ts';
import { type PlaceFlags, placeFlags, placeOf } from './place.ts';
import { screenOf } from './watch-screen.ts';
import { Watching } from './watching.ts';

interface Flags extends PlaceFlags {
  readonly interval: Duration;
  readonly once?: true;
}

export function addWatch(program: Command): void {
  const command = program
    .command('watch')
    .description('Shows holders, waiters, rates and losses, live, until Ctrl-C or q.');
  placeFlags(command)
    .option('--interval <duration>', 'between two looks', '1s')
    .option('--once', 'one look, as lines, also without a terminal')
    .addHelpText(
      'after',
      `
Rates come from the difference of two looks. A look counts the lease table: a few milliseconds of the server for 10,000.

Examples:
  $ fencepost watch
  $ fencepost watch --interval 5s
  $ fencepost watch --once`,
    )
    .action(run);
}

async function run(flags: Flags, command: Command): Promise<void> {
  const interval = milliseconds('--interval', flags.interval, { min: 100 });
  if (!flags.once && !process.stdout.isTTY)
    command.error('error: there is no terminal to show it on: see --once');
  const { connection, schema } = placeOf(flags);
  const database = new Database(connection, schema, systemClock);
  const watching = new Watching(database, systemClock);
  const rest = keepAlive();
  try {
    if (flags.once) console.log(screenOf(await watching.look(), 1_000));
    else await show(watching, interval);
  } finally {
    rest();
    await database.close();
  }
}

/** The other screen of the terminal, without a cursor; both are given back at the end. */
async function show(watching: Watching, interval: number): Promise<void> {
  const ended = new AbortController();
  const end = (): void => ended.abort();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, end);
  process.stdin.setRawMode?.(true);
  process.stdin.on('data', (keys) => ['q', '\x03', '\x04'].includes(String(keys)) && end());
  process.stdout.write('\x1b[?1049h\x1b[?25l');
  try {
    while (!ended.signal.aborted) {
      const lines = screenOf(await watching.look(), (process.stdout.rows ?? 24) - 1).split('\n');
      const width = process.stdout.columns ?? 80;
      // Over what stands there, and each rest of a line away: no flicker.
      process.stdout.write(
        `\x1b[H${lines.map((line) => `${line.slice(0, width)}\x1b[K`).join('\r\n')}\x1b[J`,
      );
      await pause(systemClock, interval, ended.signal).catch(() => {});
    }
  } finally {
    process.stdout.write('\x1b[?25h\x1b[?1049l');
    process.stdin.setRawMode?.(false);
    process.stdin.pause();
  }
}
