import { constants } from 'node:os';
import type { Command } from 'commander';
import type { WorkOptions } from '../claim/work-options.ts';
import { keepAlive, systemClock } from '../core/clock.ts';
import { milliseconds } from '../core/duration.ts';
import { ArgumentError } from '../core/errors.ts';
import { integer } from '../core/options.ts';
import { exitCodes } from './exit-codes.ts';
import { Crew } from './work-crew.ts';

interface Flags extends WorkOptions {
  readonly processes: number;
}

const wholeNumber =
  (flag: string, max: number) =>
  (text: string): number =>
    integer({ min: 1, max })(flag, Number(text) || text);

export function addClaimsWork(claims: Command): void {
  const command = claims
    .command('work')
    .description(
      'Runs the handler of a module on the rows that its claims are of, in processes of their own.',
    )
    .argument(
      '<module>',
      'a module that exports `claims` and `handler`, and if you like `options` and `close`',
    )
    .option('--processes <number>', 'how many processes', wholeNumber('--processes', 256), 1)
    .option(
      '--concurrency <number>',
      'how many rows at one time in each',
      wholeNumber('--concurrency', 10_000),
    )
    .option('--batch <number>', 'most rows in one claim', wholeNumber('--batch', 10_000))
    .option('--poll <duration>', 'how often it looks when there was too little')
    .option('--wake', 'be told of rows as they come')
    .option('--tenant <value>', 'only rows of this tenant')
    .option('--grace <duration>', 'how long handlers have to end, after a signal; 30s by default')
    .addHelpText(
      'after',
      `
SIGTERM or SIGINT: no more is claimed, what no handler began with is given back, handlers are waited for; after the
grace their signals abort, and 5 seconds later their processes are ended. A second signal ends everything at once.
A process that dies is followed by another one.

Examples:
  $ fencepost claims work ./src/invoices.ts --processes 4 --concurrency 16
  $ fencepost claims work ./src/invoices.ts --wake --poll 30s --grace 2m`,
    )
    .action(run);
  exitCodes(
    command,
    '0 stopped in order, 1 failed, 2 wrong arguments or module, 3 stopped and some handlers did not end in time, ' +
      '130 or 143 ended at once by a second SIGINT or SIGTERM',
  );
}

async function run(module: string, { processes, ...options }: Flags): Promise<void> {
  if (options.grace !== undefined) milliseconds('--grace', options.grace);
  if (options.poll !== undefined) milliseconds('--poll', options.poll, { min: 1 });
  const say = (text: string): void => console.error(`fencepost: ${text}`);
  const crew = new Crew(systemClock, { module, options }, say);
  let ended: NodeJS.Signals | undefined;
  let stopping = false;
  const signals = ['SIGINT', 'SIGTERM'] as const;
  const heard = (signal: NodeJS.Signals): void => {
    if (stopping) {
      ended = signal;
      crew.kill();
      return;
    }
    stopping = true;
    say(`${signal}: waiting for handlers; a second signal ends them at once`);
    crew.stop();
  };
  for (const signal of signals) process.on(signal, heard);
  const rest = keepAlive();
  const { failure, aborted, completed, failed, released } = await crew.run(processes);
  rest();
  for (const signal of signals) process.off(signal, heard);
  if (ended !== undefined) {
    process.exitCode = 128 + constants.signals[ended];
  } else if (failure !== undefined) {
    if (failure.usage) throw new ArgumentError('module', 'one to work with', failure.message);
    throw new Error(failure.message);
  } else {
    console.log(
      `Stopped: ${completed} completed, ${failed} failed, ${released} given back, ${aborted} aborted.`,
    );
    process.exitCode = aborted > 0 ? 3 : 0;
  }
}
