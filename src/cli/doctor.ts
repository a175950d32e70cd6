import type { Command } from 'commander';
import { systemClock } from '../core/clock.ts';
import { FencepostError } from '../core/errors.ts';
import { migrationStatus } from '../migrate.ts';
import { Database } from '../session/database.ts';
import { ownTables, readServerFacts, type ServerFacts, serverFacts, staleLeases } from '../sql/doctor.ts';
import { type Overview, overview, readOverview } from '../sql/operations.ts';
import { exitCodes } from './exit-codes.ts';
import { type Place, type PlaceFlags, placeFlags, placeOf } from './place.ts';
import { jsonOf } from './table.ts';

/** What is wrong with a database for the locks in it, and how to mend it. */
export interface Finding {
  readonly code: string;
  readonly problem: string;
  readonly remedy: string;
}

/** Something was found: neither done nor failed. */
const found = 3;

export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .description(
      'Says what in this database and its settings is bad for locks, and how to mend it. Changes nothing.',
    );
  placeFlags(command)
    .option('--json', 'print a list of { code, problem, remedy }')
    .addHelpText(
      'after',
      `
Claims have a doctor of their own: fencepost claims doctor.

Examples:
  $ fencepost doctor
  $ fencepost doctor --json | jq -r '.[].remedy'`,
    )
    .action(run);
  exitCodes(command, '0 nothing found, 1 failed, 2 wrong arguments, 3 something found');
}

async function run({ json, ...flags }: PlaceFlags & { readonly json?: true }): Promise<void> {
  const findings = await diagnose(placeOf(flags));
  if (json) console.log(jsonOf(findings));
  else if (findings.length === 0) console.log('Nothing found.');
  else
    for (const { code, problem, remedy } of findings)
      console.log(`${code}: ${problem}\n  mend it: ${remedy}\n`);
  process.exitCode = findings.length === 0 ? 0 : found;
}

async function diagnose(place: Place): Promise<Finding[]> {
  const database = new Database(place.connection, place.schema, systemClock);
  try {
    const plain = await database.connect();
    const findings = judge(readServerFacts(await plain.query(serverFacts())));
    if (plain.pooled) findings.push(pooler);
    const { version, waiting } = await migrationStatus(place);
    if (version === undefined || waiting.length > 0) {
      const problem = `schema "${place.schema}" ${version === undefined ? 'is not there' : `lacks ${waiting.join(', ')}`}`;
      return [...findings, { code: 'schema', problem, remedy: 'fencepost migrate' }];
    }
    try {
      const checked = await database.open();
      const [stale] = await checked.query(staleLeases(place.schema));
      const now = readOverview(await checked.query(overview(place.schema)));
      const tables = await checked.query(ownTables(place.schema));
      return [
        ...findings,
        ...judgeLeases(now, Number(stale?.stale)),
        ...tables.flatMap(({ name, rows, dead }) =>
          judgeTable(place.schema, name ?? '', Number(rows), Number(dead)),
        ),
      ];
    } catch (error) {
      // The client refuses the schema for a reason of its own: that is what was looked for.
      if (!(error instanceof FencepostError) || error.code !== 'SCHEMA') throw error;
      return [...findings, { code: 'schema', problem: error.message, remedy: 'as it says' }];
    }
  } finally {
    await database.close();
  }
}

const pooler: Finding = {
  code: 'pooler',
  problem: 'a pooler stands before the server: session locks are refused, and notifications do not arrive',
  remedy:
    'connect to the server itself; or, with a pooler in session mode, new Fencepost({ sessions: { pooler: "session" } })',
};

/** What the settings of the server say. */
export function judge(facts: ServerFacts): Finding[] {
  const findings: Finding[] = [];
  const add = (when: boolean, code: string, problem: string, remedy: string): void => {
    if (when) findings.push({ code, problem, remedy });
  };
  add(
    facts.isolation !== 'read committed',
    'isolation',
    `transactions of this database are ${facts.isolation} by default: guards and claims fail more often, or cost round trips`,
    `alter database ... set default_transaction_isolation = 'read committed', or for the roles that can do with it`,
  );
  add(
    facts.locks > facts.lockRoom / 2,
    'lock-table',
    `${facts.locks} advisory locks, and nominal room for ${facts.lockRoom}: when it is used up no session can begin`,
    'alter system set max_locks_per_transaction = ..., and restart; or hold leases, which need no room there',
  );
  add(
    facts.connections > facts.mostConnections * 0.9,
    'connections',
    `${facts.connections} of ${facts.mostConnections} connections are in use: heartbeats that have to connect anew may find none`,
    'smaller pools, a pooler for what is not Fencepost, or a greater max_connections',
  );
  add(
    (facts.oldest?.seconds ?? 0) > 300,
    'transaction',
    `the transaction of process ${facts.oldest?.pid} is open for ${facts.oldest?.seconds} s: dead rows stay, and each heartbeat makes some`,
    `select pg_terminate_backend(${facts.oldest?.pid})`,
  );
  return findings;
}

function judgeLeases({ holdersExpired }: Overview, stale: number): Finding[] {
  const findings: Finding[] = [];
  if (stale > 100_000) {
    findings.push({
      code: 'sweep',
      problem: `${stale} leases were not held for a month, and are still in the table`,
      remedy: 'fencepost sweep --older-than 30d',
    });
  }
  if (holdersExpired > 1_000) {
    findings.push({
      code: 'holders',
      problem: `${holdersExpired} holders have expired: processes that die, or whose heartbeats are too late`,
      remedy: 'see why they die; a longer ttl bears longer pauses',
    });
  }
  return findings;
}

function judgeTable(schema: string, name: string, rows: number, dead: number): Finding[] {
  if (dead <= Math.max(10_000, rows)) return [];
  return [
    {
      code: 'vacuum',
      problem: `table ${name} has ${dead} dead rows and ${rows} living: autovacuum does not keep up`,
      remedy: `vacuum "${schema}".${name}, and look for what holds old rows`,
    },
  ];
}
