#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addAdopt } from './cli/adopt.ts';
import { addClaims } from './cli/claims.ts';
import { addDashboard } from './cli/dashboard.ts';
import { addDoctor } from './cli/doctor.ts';
import { addElections } from './cli/elections.ts';
import { usualForTheOthers } from './cli/exit-codes.ts';
import { addLeases } from './cli/leases.ts';
import { addLocks } from './cli/locks.ts';
import { addMigrate } from './cli/migrate.ts';
import { addRelease } from './cli/release.ts';
import { addRevoke } from './cli/revoke.ts';
import { addRollback } from './cli/rollback.ts';
import { addRun } from './cli/run.ts';
import { addSql } from './cli/sql.ts';
import { addStatus } from './cli/status.ts';
import { addSweep } from './cli/sweep.ts';
import { addWaiters } from './cli/waiters.ts';
import { addWatch } from './cli/watch.ts';
import { ArgumentError } from './core/errors.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

const program = new Command('fencepost')
  .description('Locks, leases and fencing tokens kept by Postgres.')
  .version(version)
  .showHelpAfterError('(--help shows what there is)')
  .exitOverride();
for (const add of [
  addMigrate,
  addRollback,
  addStatus,
  addAdopt,
  addLocks,
  addLeases,
  addWaiters,
  addClaims,
  addElections,
  addWatch,
  addDashboard,
  addDoctor,
  addRevoke,
  addRelease,
  addSweep,
  addRun,
  addSql,
])
  add(program);
usualForTheOthers(program);

// Whoever reads has enough, as in `fencepost leases | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** Says what went wrong, unless that was said already, and answers the exit code. */
function report(error: unknown): number {
  // Commander says 1 for whatever is wrong; a command may have a code of its own for that.
  if (error instanceof CommanderError) return error.exitCode === 1 ? 2 : error.exitCode;
  const text = error instanceof Error ? error.message : String(error);
  // The library speaks of options; here they are flags.
  console.error(`error: ${text.replace(/^options\./, '--')}`);
  return error instanceof ArgumentError ? 2 : 1;
}
