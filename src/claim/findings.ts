import type { Surroundings } from '../sql/claim-doctor.ts';
import type { ClaimTable } from '../sql/claim-table.ts';

/** What makes claims slow or blocks them, and how to mend it. */
export interface ClaimFinding {
  readonly code:
    | 'index'
    | 'nulls'
    | 'claim-column'
    | 'fillfactor'
    | 'plan'
    | 'isolation'
    | 'vacuum'
    | 'transaction'
    | 'pooler'
    | 'pool';
  readonly problem: string;
  readonly remedy: string;
}

/** Below this a table fits in so few pages that nobody would notice. */
const fewRows = 1_000;
const manyRows = 10_000;
/** A transaction that is open for so many seconds keeps vacuum from what became garbage meanwhile. */
const longOpen = 300;
/** The same for what has no age in seconds, in transactions. */
const farBehind = 100_000;
/** Rows are updated once or twice each: that share of a page is room for it. */
const roomyFillfactor = 80;

type Check = (
  facts: Surroundings,
  table: ClaimTable,
  missing: Readonly<Record<string, string>>,
) => ClaimFinding[];

const missingIndexes: Check = ({ indexes }, _, missing) =>
  Object.entries(missing).map(([index, statement]) => {
    const invalid = indexes.find(({ name, valid }) => !valid && name.endsWith(index));
    const create = statement.replace('create index', 'create index concurrently');
    return invalid === undefined
      ? {
          code: 'index',
          problem: `index ${index} is missing: claims cost more the more rows there are`,
          remedy: create,
        }
      : {
          code: 'index',
          problem: `index ${index} is not valid, because its build was interrupted: it costs writes and serves no claim`,
          remedy: `drop index ${invalid.name}; ${create}`,
        };
  });

interface Direction {
  readonly desc: boolean;
  readonly nullsFirst: boolean;
}

function directionOf(text: string): Direction {
  const desc = /\bdesc\b/i.test(text);
  return { desc, nullsFirst: /nulls first/i.test(text) || (desc && !/nulls last/i.test(text)) };
}

const nullsText = ({ nullsFirst }: Direction): string => (nullsFirst ? 'nulls first' : 'nulls last');

/** An index of the user's own that was meant for claims and differs from their order in the place of nulls alone. */
const nullsOfIndexes: Check = ({ indexes }, { order, tenant }, missing) => {
  if (order.length === 0 || Object.keys(missing).length === 0) return [];
  return indexes.flatMap(({ name, keys }) => {
    const ordered = keys[0]?.name === tenant ? keys.slice(1) : keys;
    const pairs = order.map((column, place) => ({ column, key: ordered[place] }));
    const same = pairs.every(
      ({ column, key }) => key?.name === column.name && key.desc === directionOf(column.direction).desc,
    );
    const other = pairs.find(
      ({ column, key }) => key?.nullsFirst !== directionOf(column.direction).nullsFirst,
    );
    if (!same || other?.key === undefined) return [];
    const { column, key } = other;
    const wanted = nullsText(directionOf(column.direction));
    return [
      {
        code: 'nulls' as const,
        problem: `index ${name} has "${column.name}" with ${nullsText(key)}, claims order it with ${wanted}: they cannot walk it`,
        remedy: `say '${column.name} ${key.desc ? 'desc' : 'asc'} ${nullsText(key)}' in orderBy, or create the index of ddl()`,
      },
    ];
  });
};

/** `desc` alone has nulls in front, which is hardly what is meant. */
const nullsInFront: Check = ({ nullable }, { order, table }) =>
  order
    .filter(({ name, direction }) => nullable.includes(name) && /\bdesc\b(?! nulls)/i.test(direction))
    .map(({ name }) => ({
      code: 'nulls',
      problem: `rows whose "${name}" is null are claimed before all others: that is what desc means`,
      remedy: `say '${name} desc nulls last' in orderBy, or: alter table ${table} alter column "${name}" set not null`,
    }));

/** Our own indexes have them where that pays; in any other they make every claim write to it. */
const claimColumns: Check = ({ indexes }) =>
  indexes
    .filter(
      ({ name, definition }) =>
        !/(^|\.)fencepost_[0-9a-f]{12}$/.test(name) && /\bfencepost_/.test(definition),
    )
    .map(({ name, definition }) => ({
      code: 'claim-column',
      problem: `index ${name} has a column of the claims in it, so each claim and each completion writes to it (${definition})`,
      remedy: `drop index concurrently ${name}`,
    }));

const fillfactor: Check = ({ fillfactor, rows, marked }, { table }) =>
  !marked || rows < manyRows || fillfactor <= roomyFillfactor
    ? []
    : [
        {
          code: 'fillfactor',
          problem: `pages are filled to ${fillfactor} %: a claimed row moves to another page, which costs a seventh more WAL than at 70 %, and a third more than at 50 %`,
          remedy: `alter table ${table} set (fillfactor = 70); vacuum full or pg_repack does it for the pages that are there`,
        },
      ];

const isolation: Check = ({ isolation }) =>
  isolation === 'read committed'
    ? []
    : [
        {
          code: 'isolation',
          problem: `transactions are ${isolation} by default: each claim takes three round trips instead of one`,
          remedy: `alter role current_user set default_transaction_isolation = 'read committed', for the role of this pool`,
        },
      ];

const vacuum: Check = ({ threshold, dead, rows }, { table }) => {
  if (threshold === null) {
    return [
      {
        code: 'vacuum',
        problem: 'autovacuum is off for this table: claims step over more and more dead rows',
        remedy: `alter table ${table} reset (autovacuum_enabled), and see that the setting autovacuum is on`,
      },
    ];
  }
  if (dead <= Math.max(manyRows, 2 * threshold) && dead <= Math.max(manyRows, rows / 2)) return [];
  return [
    {
      code: 'vacuum',
      problem: `${dead} dead rows and ${rows} living: autovacuum does not keep up, and claims step over them`,
      remedy: `alter table ${table} set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0); vacuum ${table}`,
    },
  ];
};

const transaction: Check = ({ oldest }) => {
  if (oldest === null) return [];
  const { kind, name, seconds, transactions } = oldest;
  if (seconds === null ? transactions < farBehind : seconds < longOpen) return [];
  const since = seconds === null ? `for ${transactions} transactions` : `for ${seconds} seconds`;
  const effect = 'rows that are done since then cannot be cleaned up, and claims step over them';
  const [what, remedy] = {
    session: [`the transaction of process ${name} is open`, `select pg_terminate_backend(${name})`],
    prepared: [
      `transaction '${name}' is prepared`,
      `commit prepared '${name}', or rollback prepared '${name}'`,
    ],
    slot: [
      `replication slot ${name} holds old rows`,
      `let its consumer catch up, or: select pg_drop_replication_slot('${name}')`,
    ],
    standby: [
      `a query on standby ${name} holds old rows`,
      'end it there, or set hot_standby_feedback = off on that standby',
    ],
  }[kind] as [string, string];
  return [{ code: 'transaction', problem: `${what} ${since}: ${effect}`, remedy }];
};

/** What the catalogs and the statistics say. */
export const checks: readonly Check[] = [
  missingIndexes,
  nullsOfIndexes,
  nullsInFront,
  claimColumns,
  fillfactor,
  isolation,
  vacuum,
  transaction,
];

/** PostgreSQL up to 17 sorts the one row that it has found by its whole key. */
const sortOfOne =
  /Sort {2}\(cost=\S+ rows=1 .*\n\s*Sort Key.*\n(\s*-> {2}Result.*\n\s*One-Time Filter.*\n)?\s*-> {2}Index Scan using .* rows=1 .*\n\s*Index Cond: \(\S+ = (\$\d+|\(InitPlan \d+\)\.col1)\)/g;

/** What the plan says, in the words of EXPLAIN. */
export function planFindings(plan: string, { rows }: Surroundings, { table }: ClaimTable): ClaimFinding[] {
  if (rows <= fewRows || !/\b(Seq Scan|Sort|Bitmap Heap Scan)\b/.test(plan.replace(sortOfOne, ''))) return [];
  return [
    {
      code: 'plan',
      problem: `a claim reads and sorts rows instead of walking an index in order:\n${plan}`,
      remedy: `analyze ${table}; and see whether planner settings forbid index scans`,
    },
  ];
}

/** What stands between the process and the database. */
export function connectionFindings(pooled: boolean, second: boolean): ClaimFinding[] {
  const findings: ClaimFinding[] = [];
  if (pooled) {
    findings.push({
      code: 'pooler',
      problem:
        'a pooler stands before the database, which swallows notifications: work({ wake: true }) finds rows by its poll alone',
      remedy:
        'give `new Fencepost({ connection })` the address of the server itself; `db` may go on through the pooler',
    });
  }
  if (!second) {
    findings.push({
      code: 'pool',
      problem:
        'the pool of `db` has no second connection: a handler that queries next to its transaction waits for ever',
      remedy: 'raise `max` of the pool to the `concurrency` of work, and two more',
    });
  }
  return findings;
}
