import type { Command } from 'commander';

/** What every command ends with, unless it says more. */
export const usualExitCodes = '0 done, 1 failed or declined, 2 wrong arguments';

const told = new WeakSet<Command>();

/** Puts the exit codes of a command under its help. */
export function exitCodes(command: Command, codes: string): Command {
  told.add(command);
  return command.addHelpText('after', `\nExit codes: ${codes}.`);
}

/** The usual ones for all commands that have not said theirs. */
export function usualForTheOthers(program: Command): void {
  if (!told.has(program)) exitCodes(program, usualExitCodes);
  for (const command of program.commands) usualForTheOthers(command);
}
