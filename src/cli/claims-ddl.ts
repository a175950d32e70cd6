import type { Command } from 'commander';
import { withModule } from './work-module.ts';

export function addClaimsDdl(claims: Command): void {
  claims
    .command('ddl')
    .description('Prints the columns and indexes that the claims of a module need, for your own migration.')
    .argument('<module>', 'a module that exports `claims`')
    .option('--wake', 'also the trigger for work({ wake: true })')
    .option('--wake-on <columns>', 'the same, also after updates of these columns, separated by commas')
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost claims ddl ./src/invoices.ts > migrations/0042_invoice_claims.sql
  $ fencepost claims ddl ./src/invoices.ts --wake-on status`,
    )
    .action(run);
}

async function run(path: string, { wake, wakeOn }: { wake?: true; wakeOn?: string }): Promise<void> {
  await withModule(path, async ({ claims }) => {
    const options = wakeOn === undefined ? wake : { updateOf: wakeOn.split(',').map((name) => name.trim()) };
    process.stdout.write(claims.ddl({ wake: options }));
  });
}
