import type { Command } from 'commander';
import { ArgumentError } from '../core/errors.ts';
import { adopt } from '../migrate.ts';
import { allowed } from './confirm.ts';
import { type PlaceFlags, placeFlags, placeOf } from './place.ts';

interface Flags extends PlaceFlags {
  readonly floor?: bigint;
  readonly yes?: true;
}

export function addAdopt(program: Command): void {
  const command = program
    .command('adopt')
    .description(
      'Lets a schema that was restored, copied or upgraded go on here, with tokens greater than all that the old system gave out.',
    );
  placeFlags(command)
    .option(
      '--floor <token>',
      'the greatest token known to have been given out; from a fenced column',
      readToken,
    )
    .option('--yes', 'do it without a question')
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost adopt --connection postgresql://owner@new.example/shop
  $ fencepost adopt --floor 87960930222123 --yes`,
    )
    .action(run);
}

function readToken(text: string): bigint {
  if (/^\d{1,19}$/.test(text)) return BigInt(text);
  throw new ArgumentError('--floor', 'a token: a whole number', text);
}

async function run({ floor, yes, ...flags }: Flags, command: Command): Promise<void> {
  const what = ['What the old database system still grants is not known here: nothing may use it any more.'];
  if (!(await allowed(command, what, yes))) return;
  const { adopted, floor: reached } = await adopt({ ...placeOf(flags), floor });
  const schema = `schema "${flags.schema}"`;
  console.log(
    adopted ? `Adopted ${schema}.` : `Nothing to adopt: ${schema} belongs to this database system.`,
  );
  console.log(`Every token from now on is greater than ${reached}.`);
}
