import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { systemClock } from '../core/clock.ts';
import { type Duration, milliseconds } from '../core/duration.ts';
import { ArgumentError } from '../core/errors.ts';
import { integer } from '../core/options.ts';
import { Dashboard } from '../dashboard/dashboard.ts';
import { type PlaceFlags, placeFlags, placeOf } from './place.ts';

interface Flags extends PlaceFlags {
  readonly host: string;
  readonly port: number;
  readonly refresh: Duration;
  readonly load: number;
  readonly allowRevoke?: true;
}

export function addDashboard(program: Command): void {
  const command = program
    .command('dashboard')
    .description(
      'Serves a page on this machine that shows holders, waiters, rates and losses, live, until Ctrl-C.',
    );
  placeFlags(command)
    .option('--port <number>', 'where it listens; 0 takes any that is free', readPort, 7070)
    .option(
      '--host <address>',
      'localhost, 127.0.0.1 or ::1: it is for this machine only',
      readHost,
      '127.0.0.1',
    )
    .option('--refresh <duration>', 'between two looks', '1s')
    .option('--load <percent>', 'of one core of the server: what looking may take at most', readLoad, 1)
    .option('--allow-revoke', 'let the page take leases away, for those who have the address with its token')
    .addHelpText(
      'after',
      `
To see it from elsewhere, forward the port: ssh -L 7070:localhost:7070 host, or kubectl port-forward.

Examples:
  $ fencepost dashboard
  $ fencepost dashboard --port 8080 --refresh 5s --allow-revoke`,
    )
    .action(run);
}

async function run({ host, port, load, ...flags }: Flags): Promise<void> {
  const refresh = milliseconds('--refresh', flags.refresh, { min: 100, max: 3_600_000 });
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const allowRevoke = flags.allowRevoke === true;
  // Before the address is there: who reads it may end this at once.
  const ended = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => resolve());
  });
  const where = { ...placeOf(flags), host, port };
  await using dashboard = await Dashboard.start(
    { ...where, refresh, share: load / 100, allowRevoke, version },
    systemClock,
  );
  console.log(dashboard.url);
  console.error(
    allowRevoke
      ? 'Whoever has this address can take leases away. Ctrl-C ends it.'
      : 'It only reads. Whoever uses this machine can open it. Ctrl-C ends it.',
  );
  await ended;
}

function readPort(given: string): number {
  return integer({ min: 0, max: 65_535 })('--port', given.trim() === '' ? given : Number(given));
}

function readHost(given: string): string {
  if (/^(localhost|127(\.\d{1,3}){3}|::1)$/.test(given)) return given;
  throw new ArgumentError('--host', 'a loopback address: localhost, 127.0.0.1 or ::1', given);
}

function readLoad(given: string): number {
  const load = Number(given);
  if (load > 0 && load <= 100) return load;
  throw new ArgumentError('--load', 'a number of percent above 0, at most 100', given);
}
