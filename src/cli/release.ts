import type { Command } from 'commander';
import { inspectLocks } from '../advisory/inspect-locks.ts';
import { ArgumentError } from '../core/errors.ts';
import { Fencepost } from '../fencepost.ts';
import { endSessions } from '../sql/operations.ts';
import { allowed } from './confirm.ts';
import { heldLeasesOf } from './held-leases.ts';
import { inspecting } from './inspection.ts';
import { keyOf } from './key-argument.ts';
import { type PlaceFlags, placeFlags, placeOf } from './place.ts';

interface Flags extends PlaceFlags {
  readonly force?: true;
  readonly lock?: true;
  readonly tenant: string;
  readonly namespace: string;
  readonly yes?: true;
}

export function addRelease(program: Command): void {
  const command = program
    .command('release')
    .description('Frees a lease or a session lock at once, whoever holds it.')
    .argument('<key>', 'the name of the lease, or with --lock the key');
  placeFlags(command)
    .option('--force', 'yes, though somebody else holds it: only that is what this command is for')
    .option('--lock', 'a session lock: the server sessions that hold it are ended, with all that they hold')
    .option('--tenant <name>', 'the tenant of the lease', '')
    .option('--namespace <name>', 'the namespace of the session lock', '')
    .option('--yes', 'do it without a question')
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost release import --force
  $ fencepost release nightly-report --lock --force --yes`,
    )
    .action(run);
}

async function run(key: string, flags: Flags, command: Command): Promise<void> {
  if (!flags.force) throw new ArgumentError('release', '--force: a lock is released by its holder', 'none');
  if (flags.lock) await releaseLock(key, flags, command);
  else await releaseLease(key, flags, command);
}

async function releaseLease(name: string, { tenant, yes, ...place }: Flags, command: Command): Promise<void> {
  const held = await heldLeasesOf(place, tenant, name);
  if (held.length === 0) {
    console.log('Nothing to release: nobody holds it.');
    return;
  }
  const what = held.map(
    ({ application, token }) => `This takes "${name}" from ${application} (token ${token}), at once.`,
  );
  if (!(await allowed(command, what, yes))) return;
  await using fencepost = new Fencepost(placeOf(place));
  for (const { token } of held) await fencepost.leases.revoke({ tenant, name }, { token });
  console.log(`Released ${held.map(({ token }) => token).join(', ')}.`);
}

async function releaseLock(
  text: string,
  { namespace, yes, ...place }: Flags,
  command: Command,
): Promise<void> {
  const find = async () =>
    inspecting(place, async (connection) => {
      const locks = await inspectLocks(connection, namespace, [keyOf(text)]);
      return locks.filter(({ key, granted }) => key !== undefined && granted);
    });
  const held = await find();
  if (held.length === 0) {
    console.log('Nothing to release: nobody holds it.');
    return;
  }
  const what = held.map(
    ({ pid, application }) =>
      `This ends server session ${pid} of "${application}", and frees all locks that it holds.`,
  );
  if (!(await allowed(command, what, yes))) return;
  // Those that were named, and still hold it: the number of a process may be somebody else's by now.
  const pids = (await find()).map(({ pid }) => pid).filter((pid) => held.some((one) => one.pid === pid));
  await inspecting(place, (connection) => connection.query(endSessions(pids)));
  console.log(`Ended ${pids.join(', ') || 'nothing: it was released meanwhile'}.`);
}
