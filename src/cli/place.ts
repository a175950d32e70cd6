import { type Command, Option } from 'commander';
import { ArgumentError } from '../core/errors.ts';
import type { ConnectionSource } from '../session/client.ts';

/** What the flags say about where to work. */
export interface PlaceFlags {
  readonly connection?: string;
  readonly schema: string;
}

/** A schema in a database. */
export interface Place {
  readonly connection: ConnectionSource;
  readonly schema: string;
}

/** The flags that every command with a database has. */
export function placeFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--connection <url>',
        'the database; without it PGHOST, PGUSER and the other usual variables say',
      )
        .env('DATABASE_URL')
        .argParser(readUrl),
    )
    .option('--schema <name>', 'the schema of Fencepost in it', 'fencepost');
}

/** An empty configuration makes the driver look at the PG* variables. */
export function placeOf({ connection, schema }: PlaceFlags): Place {
  return { connection: connection ?? {}, schema };
}

function readUrl(text: string): string {
  if (URL.canParse(text) && /^postgres(ql)?:$/.test(new URL(text).protocol)) return text;
  // What came is not shown: it may hold a password.
  throw new ArgumentError(
    '--connection or DATABASE_URL',
    'a URL that begins with postgresql://',
    'something else',
  );
}
