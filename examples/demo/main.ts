/** The demo: `npm run demo`, or `npm run demo -- --help`. */
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { startEmbedded } from '../../test/servers/embedded.ts';
import { conduct, type Outcome } from './conductor.ts';
import { isClean, withClient } from './ledger.ts';
import { makePlan } from './plan.ts';
import { announce, conclude, introduce, type Settings } from './report.ts';
import { Screen } from './screen.ts';

const usage = `Usage: npm run demo -- [options]

Workers move money under leases while some are killed and some are frozen: first with the
guard, then without it. Ends with an audit of both runs from the database.

  --seed <n>      plan of transfers, kills and freezes; the same seed gives the same plan
                  (0 to 4294967295; random by default)
  --workers <n>   worker processes (2 to 32; 8 by default)
  --seconds <n>   how long each of the two runs lasts (4 to 3600; 18 by default)
  --help          this text

Exit code: 0 when the audit of the guarded run is clean, 1 when it is not or something
failed, 2 for wrong options, 130 after Ctrl-C.
`;

class UsageError extends Error {}

function readSettings(): Settings | 'help' {
  const type = 'string';
  const options = {
    seed: { type },
    workers: { type },
    seconds: { type },
    help: { type: 'boolean' },
  } as const;
  let values: ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];
  try {
    ({ values } = parseArgs({ options }));
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  if (values.help) return 'help';
  const whole = (
    name: 'seed' | 'workers' | 'seconds',
    min: number,
    max: number,
    otherwise: number,
  ): number => {
    const given = values[name];
    if (given === undefined) return otherwise;
    const value = /^\d+$/.test(given) ? Number(given) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new UsageError(`--${name}: expected a whole number from ${min} to ${max}, got "${given}"`);
  };
  return {
    seed: whole('seed', 0, 2 ** 32 - 1, Math.floor(Math.random() * 2 ** 32)),
    workers: whole('workers', 2, 32, 8),
    seconds: whole('seconds', 4, 3_600, 18),
  };
}

async function main(settings: Settings, signal: AbortSignal): Promise<boolean> {
  const screen = new Screen(process.stdout);
  const plan = makePlan(settings);
  await using server = await startEmbedded({ fsync: true });
  signal.throwIfAborted();
  introduce(screen, settings, plan.tenants.length, server.description);

  const run = async (guarded: boolean): Promise<Outcome> => {
    announce(screen, guarded);
    const database = guarded ? 'with_guard' : 'without_guard';
    await withClient(server.url, (client) => client.query(`create database ${database}`));
    const connection = Object.assign(new URL(server.url), { pathname: `/${database}` }).href;
    try {
      return await conduct({ ...settings, connection, plan, guarded, screen, signal });
    } finally {
      screen.endStatus();
    }
  };
  const guarded = await run(true);
  const unguarded = await run(false);
  conclude(screen, guarded, unguarded);
  return isClean(guarded.audit);
}

const interrupted = new AbortController();
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE'] as const;
for (const name of signals) process.on(name, () => interrupted.abort(name));
// Nobody reads any more, as in `npm run demo | head`.
process.stdout.on('error', () => interrupted.abort('SIGPIPE'));

try {
  const settings = readSettings();
  if (settings === 'help') process.stdout.write(usage);
  else process.exitCode = (await main(settings, interrupted.signal)) ? 0 : 1;
} catch (error) {
  const name = signals.find((signal) => signal === interrupted.signal.reason);
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\n\n${usage}`);
    process.exitCode = 2;
  } else if (name !== undefined) {
    process.stderr.write(`Ended by ${name}: the workers and the server are gone.\n`);
    process.exitCode = 128 + constants.signals[name];
  } else {
    console.error(error);
    process.exitCode = 1;
  }
}
