import type { Outcome } from './conductor.ts';
import { isClean } from './ledger.ts';
import { ttlMs } from './plan.ts';
import { plural, type Screen } from './screen.ts';

export interface Settings {
  readonly seed: number;
  readonly workers: number;
  readonly seconds: number;
}

/** The first screen: for somebody who has never heard of leases. */
export function introduce(screen: Screen, settings: Settings, tenants: number, server: string): void {
  const { seed, workers, seconds } = settings;
  const topics: Record<string, string[]> = {
    'The work': [
      `${workers} processes move money between the accounts of ${tenants} tenants.`,
      'One transfer: read two balances, wait for an answer of the bank,',
      'write two new balances.',
    ],
    'The lease': [
      'Only the process that holds the lease of a tenant may do that.',
      'A lease lives as long as its process. When nothing is heard of that',
      `for ${ttlMs / 1_000} s, it expires and another process takes over. Each grant has`,
      'a token: a number greater than all before it.',
    ],
    'The danger': [
      'A process checks that it has the lease, then stops for a while:',
      'a long garbage collection, a paused machine. Another one takes over.',
      'Then the first goes on, and writes old balances over newer ones. No',
      'check of its own prevents that: it can always stop after the check.',
    ],
    'The guard': [
      'lease.guard(transaction): Postgres compares the token in the very',
      'transaction that writes, and refuses once the lease has moved on.',
    ],
    'On purpose': [
      'A conductor kills workers (SIGKILL) and freezes others for longer',
      'than a lease lives (SIGSTOP, later SIGCONT). Chance decides what a',
      'worker is doing when it is hit.',
    ],
  };
  screen.line(screen.paint('bold', 'Fencepost: a holder that lost its lock cannot commit. Postgres checks.'));
  for (const [name, lines] of Object.entries(topics)) {
    screen.line();
    for (const [i, text] of lines.entries()) {
      screen.line(`${screen.paint('bold', (i === 0 ? name : '').padEnd(12))}${text}`);
    }
  }
  screen.line();
  screen.line(`Two runs of ${seconds} s by one plan: with the guard, then without that one line.`);
  screen.line(screen.paint('dim', `The plan is that of --seed ${seed}. ${server}.`));
}

export function announce(screen: Screen, guarded: boolean): void {
  screen.line();
  const title = guarded ? 'Run 1: with the guard' : 'Run 2: the same without the guard';
  screen.line(screen.paint(['bold', 'underline'], title));
}

/** A line of the audit: what was found, and what it should be, where there is such a thing. */
interface Row {
  readonly name: string;
  readonly found: (outcome: Outcome) => number | string;
  readonly wanted?: (outcome: Outcome) => number;
}

const none = (): number => 0;
const rows: readonly Row[] = [
  { name: 'Sum of all accounts, expected', found: ({ audit }) => audit.expectedSum },
  {
    name: 'Sum of all accounts, found',
    found: ({ audit }) => audit.foundSum,
    wanted: ({ audit }) => audit.expectedSum,
  },
  { name: 'Accounts with a wrong balance', found: ({ audit }) => audit.wrongAccounts, wanted: none },
  { name: 'Transfers that were due', found: ({ audit }) => audit.due },
  { name: '  applied exactly once', found: ({ audit }) => audit.once, wanted: ({ audit }) => audit.due },
  { name: '  applied twice or more', found: ({ audit }) => audit.twice, wanted: none },
  { name: '  lost: missing from a balance', found: ({ audit }) => audit.lost, wanted: none },
  { name: 'Lost updates: unread changes overwritten', found: ({ audit }) => audit.lostUpdates, wanted: none },
  { name: 'Stale writes that got in', found: ({ audit }) => audit.staleWrites, wanted: none },
  {
    name: 'Stale writes refused by Postgres *',
    found: ({ counts, guarded }) => (guarded ? counts.refused : 'not asked'),
  },
  { name: 'Takeovers of an expired lease *', found: ({ counts }) => counts.takeovers },
];

/** The two audits side by side, and what they mean. */
export function conclude(screen: Screen, guarded: Outcome, unguarded: Outcome): void {
  screen.line();
  screen.line(screen.paint(['bold', 'underline'], 'Audit'));
  screen.line(`${''.padEnd(42)}${'with guard'.padStart(14)}${'without'.padStart(14)}`);
  for (const { name, found, wanted } of rows) {
    const cells = [guarded, unguarded].map((outcome) => {
      const value = found(outcome);
      const cell = value.toLocaleString('en').padStart(14);
      if (wanted === undefined) return cell;
      return screen.paint(value === wanted(outcome) ? 'green' : ['red', 'bold'], cell);
    });
    screen.line(`${name.padEnd(42)}${cells.join('')}`);
  }
  screen.line(screen.paint('dim', '* as the workers reported it; all else is computed from the tables'));
  screen.line();
  screen.line(`${screen.paint('bold', 'With the guard:')} ${ofGuarded(screen, guarded)}`);
  screen.line(`${screen.paint('bold', 'Without it:')} ${ofUnguarded(screen, unguarded)}`);
}

function ofGuarded(screen: Screen, { audit, counts }: Outcome): string {
  if (audit.due === 0) return 'nothing was booked, so this run proves nothing.';
  if (!isClean(audit)) return screen.paint(['red', 'bold'], 'NOT CLEAN. Fencepost has not kept its promise.');
  const refused =
    counts.refused === 0
      ? 'no worker happened to try a stale write'
      : `Postgres refused ${plural(counts.refused, 'stale write')}`;
  return screen.paint('green', `clean. Every transfer was applied exactly once,\n  and ${refused}.`);
}

function ofUnguarded(screen: Screen, { audit }: Outcome): string {
  if (isClean(audit)) {
    return 'no corruption this time: no worker wrote after it had lost its lease.\n  Try another --seed.';
  }
  const drift = audit.foundSum - audit.expectedSum;
  const offBy = `${Math.abs(drift).toLocaleString('en')} too ${drift < 0 ? 'low' : 'high'}`;
  const sum = `the sum ${drift === 0 ? 'happens to be right' : `is ${offBy}`}`;
  const transfers = `${plural(audit.twice, 'transfer')} applied twice, ${audit.lost} lost`;
  return screen.paint(
    'red',
    `corrupt. ${audit.wrongAccounts} of ${audit.accounts} accounts are wrong, ${sum},\n  ${transfers}.`,
  );
}
