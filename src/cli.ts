#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addAdopt } from './cli/adopt.ts';
import { addClaims } from './cli/claims.ts';
import { usualForTheOthers } from './cli/exit-codes.ts';
import { addMigrate } from './cli/migrate.ts';
import { addRollback } from './cli/rollback.ts';
import { addStatus } from './cli/status.ts';
import { ArgumentError } from './core/errors.ts';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

const program = new Command('fencepost')
  .description('Locks, leases and fencing tokens kept by Postgres.')
  .version(version)
  .showHelpAfterError('(--help shows what there is)')
  .exitOverride();
for (const add of [addMigrate, addRollback, addStatus, addAdopt, addClaims]) add(program);
usualForTheOthers(program);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** Says what went wrong, unless that was said already, and answers the exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const text = error instanceof Error ? error.message : String(error);
  // The library speaks of options; here they are flags.
  console.error(`error: ${text.replace(/^options\./, '--')}`);
  return error instanceof ArgumentError ? 2 : 1;
}
