import type { Command } from 'commander';
import type { Duration } from '../core/duration.ts';
import { Fencepost } from '../fencepost.ts';
import { allowed } from './confirm.ts';
import { heldLeasesOf, readToken } from './held-leases.ts';
import { type PlaceFlags, placeFlags, placeOf } from './place.ts';

interface Flags extends PlaceFlags {
  readonly tenant: string;
  readonly token?: bigint;
  readonly grace: Duration;
  readonly yes?: true;
}

export function addRevoke(program: Command): void {
  const command = program
    .command('revoke')
    .description(
      'Takes a lease away from whoever holds it: its signal aborts, after the grace it is free, and the guard refuses.',
    )
    .argument('<name>', 'the name of the lease');
  placeFlags(command)
    .option('--tenant <name>', 'its tenant', '')
    .option('--token <token>', 'only the one with this token, so that a successor is not hit', readToken)
    .option('--grace <duration>', 'how long the holder has to end by itself', '0s')
    .option('--yes', 'do it without a question')
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost revoke import --grace 30s
  $ fencepost revoke billing --tenant t1 --token 17592186044417 --yes`,
    )
    .action(run);
}

async function run(
  name: string,
  { tenant, token, grace, yes, ...place }: Flags,
  command: Command,
): Promise<void> {
  const held = await heldLeasesOf(place, tenant, name, token);
  if (held.length === 0) {
    console.log('Nothing to revoke: nobody holds it.');
    return;
  }
  const what = held.map(
    ({ application, token: one }) =>
      `This takes "${name}" from ${application} (token ${one}), which has ${grace} to end.`,
  );
  if (!(await allowed(command, what, yes))) return;
  await using fencepost = new Fencepost(placeOf(place));
  const tokens = await fencepost.leases.revoke({ tenant, name }, { grace, token });
  console.log(
    tokens.length === 0 ? 'Nothing was revoked: it was released meanwhile.' : `Revoked ${tokens.join(', ')}.`,
  );
}
