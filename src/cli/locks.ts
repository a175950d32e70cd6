import type { Command } from 'commander';
import { inspectLocks } from '../advisory/inspect-locks.ts';
import { systemClock } from '../core/clock.ts';
import { Database } from '../session/database.ts';
import { type ListFlags, listFlags } from './inspection.ts';
import { keyOf } from './key-argument.ts';
import { placeOf } from './place.ts';
import { print, timeOf } from './table.ts';

interface Flags extends ListFlags {
  readonly key: string[];
  readonly namespace: string;
}

export function addLocks(program: Command): void {
  const command = program
    .command('locks')
    .description(
      'Lists session and transaction locks, by whom they are held and who waits. Needs no schema.',
    );
  listFlags(command)
    .option('--key <key>', 'a key whose name is to stand there; the server knows numbers only', collect, [])
    .option('--namespace <name>', 'the namespace of these keys', '')
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost locks --key nightly-report --key '["invoice", 42]'
  $ fencepost locks --json | jq '.[] | select(.granted | not)'`,
    )
    .action(run);
}

function collect(key: string, before: string[]): string[] {
  return [...before, key];
}

async function run(flags: Flags): Promise<void> {
  const { connection, schema } = placeOf(flags);
  const database = new Database(connection, schema, systemClock);
  try {
    const keys = flags.key.map(keyOf);
    const found = await inspectLocks(await database.connect(), flags.namespace, keys);
    print(
      flags,
      found,
      ['key', 'hash', 'mode', 'state', 'pid', 'application', 'waited', 'for'],
      (index) => {
        const lock = found[index] as (typeof found)[number];
        return [
          ...[lock.key, lock.hash, lock.mode, lock.granted ? 'held' : 'waits', lock.pid, lock.application],
          ...[lock.waited === undefined ? '' : timeOf(lock.waited), lock.blockedBy.join(' ')],
        ];
      },
      'No lock is held.',
    );
  } finally {
    await database.close();
  }
}
