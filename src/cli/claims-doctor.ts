import type { Command } from 'commander';
import { exitCodes } from './exit-codes.ts';
import { withModule } from './work-module.ts';

/** Something was found: neither done nor failed. */
const found = 3;

export function addClaimsDoctor(claims: Command): void {
  const command = claims
    .command('doctor')
    .description('Says what makes the claims of a module slow, and how to mend it. Changes nothing.')
    .argument('<module>', 'a module that exports `claims`')
    .option('--json', 'print a list of { code, problem, remedy }')
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost claims doctor ./src/invoices.ts
  $ fencepost claims doctor ./src/invoices.ts --json | jq -r '.[].remedy'`,
    )
    .action(run);
  exitCodes(command, '0 nothing found, 1 failed, 2 wrong arguments, 3 something found');
}

async function run(path: string, { json }: { json?: true }): Promise<void> {
  await withModule(path, async ({ claims }) => {
    const findings = await claims.doctor();
    if (json) console.log(JSON.stringify(findings, null, 2));
    else if (findings.length === 0) console.log('Nothing found: these claims are as fast as they can be.');
    else {
      for (const { code, problem, remedy } of findings) {
        console.log(`${code}: ${problem}\n  mend it: ${remedy}\n`);
      }
    }
    process.exitCode = findings.length === 0 ? 0 : found;
  });
}
