import { constants } from 'node:os';
import { type Command, CommanderError } from 'commander';
import { keepAlive } from '../core/clock.ts';
import { ArgumentError, LockTimeoutError } from '../core/errors.ts';
import type { Handle } from '../core/handle.ts';
import { integer } from '../core/options.ts';
import { Fencepost } from '../fencepost.ts';
import type { LeaseOptions } from '../lease/lease-options.ts';
import { exitCodes } from './exit-codes.ts';
import { keyOf } from './key-argument.ts';
import { type PlaceFlags, placeFlags, placeOf } from './place.ts';
import { runChild } from './run-child.ts';

interface Flags extends PlaceFlags {
  readonly lease?: true;
  readonly tenant?: string;
  readonly ttl?: LeaseOptions['ttl'];
  readonly slots?: number;
  readonly wait?: LeaseOptions['wait'];
  readonly nonblock?: true;
  readonly shared?: true;
  readonly namespace?: string;
  readonly conflictExitCode: number;
}

/** As in sysexits.h, which flock(1) uses too. */
const usage = 64;
const unavailable = 69;
const lost = 75;

export function addRun(program: Command): void {
  const command = program
    .command('run')
    .description(
      'Runs a command while it holds a lock, on whatever machine, and ends it when the lock is lost.',
    )
    .argument('<key>', 'the key; one of several parts as JSON: \'["invoice", 42]\'')
    .argument('<command...>', 'after --: the command and its arguments');
  placeFlags(command)
    .option('--lease', 'a lease with a fencing token, instead of a session lock')
    .option('--tenant <name>', 'the tenant of the lease')
    .option('--ttl <duration>', 'how long the lease outlives this process; 30s by default')
    .option('--slots <number>', 'how many may hold the lease at one time', whole('--slots', 1, 1_000_000))
    .option('--shared', 'together with others who ask for it shared')
    .option('--wait <duration>', 'how long to wait for it; for ever by default')
    .option('-n, --nonblock', 'do not wait')
    .option('-E, --conflict-exit-code <number>', 'when it is not free in time', whole('-E', 0, 255), 1)
    .option('--namespace <name>', 'the namespace of the session lock')
    .addHelpText(
      'after',
      `
The command has FENCEPOST_KEY in its environment, and with --lease FENCEPOST_TOKEN and FENCEPOST_SLOT: a write that
checks the token cannot come from a holder that lost the lease. Signals are passed on. When the lock is lost the command
gets SIGTERM at once, and SIGKILL half a second later. When this process is killed with SIGKILL, the command goes on
without the lock: nothing but the token tells it.

Examples:
  $ fencepost run nightly-report --nonblock -- ./report.sh
  $ fencepost run import --lease --ttl 10s --slots 3 --wait 5m -- node import.js`,
    )
    .exitOverride((error) => {
      throw new CommanderError(error.exitCode === 0 ? 0 : usage, error.code, error.message);
    })
    .action(run);
  exitCodes(
    command,
    'that of the command, 128 + n when signal n ended it, 1 (or -E) not free in time, 64 wrong arguments, ' +
      '69 no database or no such command, 75 the lock was lost and the command ended for it',
  );
}

function whole(flag: string, min: number, max: number): (text: string) => number {
  return (text) => integer({ min, max })(flag, text.trim() === '' ? text : Number(text));
}

async function run(key: string, command: string[], flags: Flags): Promise<void> {
  const rest = keepAlive();
  try {
    process.exitCode = await locked(key, command, flags);
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message.replace(/^options\./, '--') : error}`);
    process.exitCode = error instanceof ArgumentError ? usage : unavailable;
  } finally {
    rest();
  }
}

/** Holds the lock around the command, and answers the exit code. */
async function locked(key: string, command: string[], flags: Flags): Promise<number> {
  const interrupted = new AbortController();
  let signal: NodeJS.Signals | undefined;
  const heard = (name: NodeJS.Signals): void => {
    signal = name;
    interrupted.abort();
  };
  const ending = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of ending) process.on(name, heard);
  const { namespace } = flags;
  await using fencepost = new Fencepost({ ...placeOf(flags), namespace });
  let lock: Handle | undefined;
  try {
    lock = await acquire(fencepost, key, flags, interrupted.signal);
  } catch (error) {
    if (error instanceof LockTimeoutError) return conflict(key, flags);
    if (signal !== undefined) return 128 + constants.signals[signal];
    throw error;
  } finally {
    for (const name of ending) process.off(name, heard);
  }
  if (lock === undefined) return conflict(key, flags);
  await using held = lock;
  const { token, slot } = held as { token?: bigint; slot?: number };
  const environment = {
    FENCEPOST_KEY: key,
    ...(token !== undefined && { FENCEPOST_TOKEN: String(token), FENCEPOST_SLOT: String(slot ?? 0) }),
  };
  const ended = await runChild(command as [string, ...string[]], environment, held.signal);
  if (ended === 'lost') {
    const reason: unknown = held.signal.reason;
    console.error(`error: ${reason instanceof Error ? reason.message : reason}: the command was ended`);
    return lost;
  }
  return ended;
}

async function acquire(
  fencepost: Fencepost,
  key: string,
  flags: Flags,
  signal: AbortSignal,
): Promise<Handle | undefined> {
  const { ttl, slots, tenant } = flags;
  const mode = flags.shared ? 'shared' : 'exclusive';
  const wait = flags.nonblock ? 0 : flags.wait;
  if (flags.lease) {
    const resource = tenant === undefined ? key : { tenant, name: key };
    return fencepost.leases.acquire(resource, {
      signal,
      ttl,
      wait,
      ...(slots === undefined ? { mode } : { slots }),
    });
  }
  for (const [name, value] of Object.entries({ ttl, slots, tenant })) {
    if (value !== undefined) throw new ArgumentError(`--${name}`, 'nothing without --lease', value);
  }
  return fencepost.advisory.acquire(keyOf(key), { signal, mode, wait });
}

function conflict(key: string, { conflictExitCode }: Flags): number {
  console.error(`error: ${key} is held by somebody else`);
  return conflictExitCode;
}
