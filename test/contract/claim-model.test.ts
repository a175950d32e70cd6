/**
 * Claims against a model of them: whatever is done in whatever order, by two processes that die now and then, a storage
 * gives the rows that a list in memory gives.
 */
import fc from 'fast-check';
import { type Claim, Fencepost, StaleTokenError } from 'fencepost';
import { Kysely, PostgresDialect } from 'kysely';
import { expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type LivingStorage, livingStorages } from '../support/jobs.ts';
import { plant } from '../support/plant.ts';
import { buryHolders } from './claim-rules.ts';

interface Tables {
  job: { id: number; tenant: string; status: string; weight: number };
}
type Job = Claim<Tables['job'], Tables>;

const maxAttempts = 2;
const mostRows = 12;
const at = fc.nat();
const id = fc.integer({ min: 1, max: mostRows });
const ids = fc.uniqueArray(id, { minLength: 1, maxLength: 5 });
const tenant = fc.constantFrom('a', 'b', undefined);
const weight = fc.integer({ min: 0, max: 2 });
const failed = fc.boolean();

/** What can be done: by the process whose turn it is, by the owner of the table, or to both processes. */
const operations = {
  claim: fc.record({ limit: fc.integer({ min: 1, max: 6 }), tenant }),
  claimKeys: fc.record({ ids }),
  complete: fc.record({ at, works: fc.boolean() }),
  release: fc.record({ at, failed, later: fc.boolean() }),
  fail: fc.record({ at }),
  retry: fc.record({ ids }),
  weigh: fc.record({ id, weight }),
  change: fc.record({ id, status: fc.constantFrom('new', 'off') }),
  pass: fc.constant({}),
  turn: fc.constant({}),
  die: fc.constant({}),
};
type Operations = {
  [Name in keyof typeof operations]: (typeof operations)[Name] extends fc.Arbitrary<infer What>
    ? What
    : never;
};
const oftener: Partial<Record<keyof Operations, number>> = { claim: 6, complete: 4, release: 3 };
const sequences = fc.array(
  fc.oneof(
    ...Object.entries(operations).map(([name, what]) => ({
      weight: oftener[name as keyof Operations] ?? 1,
      arbitrary: (what as fc.Arbitrary<object>).map((given) => [name, given] as const),
    })),
  ),
  { minLength: 5, maxLength: 40 },
);
const tables = fc.array(fc.record({ tenant: fc.constantFrom('a', 'b'), weight }), {
  minLength: 1,
  maxLength: mostRows,
});

type Example = [{ tenant: string; weight: number }[], (readonly [string, object])[]];
const one: Example[0] = [{ tenant: 'a', weight: 0 }];
const claim = ['claim', { limit: 1 }] as const;
const die = ['die', {}] as const;
const examples: Example[] = [
  // What was said of a row before it was retried is over, though its next workers die.
  [one, [claim, ['fail', { at: 0 }], ['retry', { ids: [1] }], claim, die, claim, die, claim]],
  // Who has died completes what somebody else has by now.
  [one, [claim, die, claim, ['complete', { at: 0, works: false }]]],
];

/** A row as the model has it. */
interface Row {
  readonly id: number;
  readonly tenant: string;
  weight: number;
  status: string;
  attempts: number;
  error: string | null;
  /** `passed`: it waited for its time, which has come. */
  due: 'now' | 'later' | 'passed' | 'aside';
  /** Who has it, or had it and died. */
  taken: Taken | undefined;
  token: bigint;
}

interface Taken {
  readonly claim: Job;
  readonly row: Row;
  dead: boolean;
}

/** What the storage did and what the model says, one operation after the other. */
class Comparison {
  readonly #database: TestDatabase;
  readonly #storage: LivingStorage;
  readonly #rows: Row[];
  readonly #processes: Fencepost[];
  readonly #start: () => Fencepost;
  readonly #open: Taken[] = [];
  readonly counts: Record<string, number> = {};

  constructor(
    database: TestDatabase,
    storage: LivingStorage,
    processes: Fencepost[],
    start: () => Fencepost,
    rows: readonly { tenant: string; weight: number }[],
  ) {
    this.#database = database;
    this.#processes = processes;
    this.#start = start;
    this.#storage = storage;
    this.#rows = rows.map((row, index) => ({
      ...row,
      id: index + 1,
      status: 'new',
      attempts: 0,
      error: null,
      due: 'now',
      taken: undefined,
      token: 0n,
    }));
  }

  async run(sequence: readonly (readonly [string, object])[]): Promise<void> {
    for (const [name, given] of sequence) {
      this.counts[name] = (this.counts[name] ?? 0) + 1;
      await (this[name as keyof Operations] as (given: object) => Promise<void>).call(this, given);
    }
    const aside = this.#rows.filter(({ due }) => due === 'aside');
    const listed = (await this.#jobs.aside()).map(({ row, attempts, error }) => ({
      id: row.id,
      attempts,
      error,
    }));
    expect(listed.toSorted((a, b) => a.id - b.id)).toEqual(
      aside.map(({ id, attempts, error }) => ({ id, attempts, error })),
    );
    const statuses = await this.#database.query('select id, status from job order by id');
    expect(statuses).toEqual(this.#rows.map((row) => ({ id: row.id, status: row.status })));
    await Promise.all(this.#open.map(({ claim }) => claim.release().catch(() => {})));
  }

  async claim({ limit, tenant }: Operations['claim']): Promise<void> {
    const claims = await this.#jobs.claim({ limit, tenant });
    const expected: Row[] = [];
    for (let spent = true; spent && expected.length === 0; ) {
      const wanted = this.#free.filter((row) => tenant === undefined || row.tenant === tenant);
      const first = wanted.toSorted((a, b) => b.weight - a.weight || a.id - b.id).slice(0, limit);
      spent = this.#setAside(first);
      expected.push(...first.filter(({ due }) => due !== 'aside'));
    }
    expect(claims.map(({ row }) => row.id)).toEqual(expected.map((row) => row.id));
    this.#take(claims, expected);
  }

  async claimKeys({ ids }: Operations['claimKeys']): Promise<void> {
    const claims = await this.#jobs.claimKeys(ids);
    const named = this.#free.filter((row) => ids.includes(row.id));
    this.#setAside(named);
    const expected = named.filter(({ due }) => due !== 'aside');
    claims.sort((a, b) => a.row.id - b.row.id);
    expect(claims.map(({ row }) => row.id)).toEqual(expected.map((row) => row.id));
    this.#take(claims, expected);
  }

  async complete({ at, works }: Operations['complete']): Promise<void> {
    const taken = this.#pick(at, this.#open);
    if (taken === undefined) return;
    const { row, claim } = taken;
    const completing = works ? claim.complete(async () => {}) : claim.complete();
    if (row.taken !== taken) {
      await expect(completing).rejects.toThrow(StaleTokenError);
      this.counts.stale = (this.counts.stale ?? 0) + 1;
      return;
    }
    await completing;
    Object.assign(row, { status: 'done', attempts: 0, error: null, taken: undefined });
  }

  async release({ at, failed, later }: Operations['release']): Promise<void> {
    const taken = this.#pick(at, this.#living);
    if (taken === undefined) return;
    const { row, claim } = taken;
    await claim.release({ ...(later ? { after: '1h' } : {}), ...(failed ? { error: new Error('no') } : {}) });
    const spent = failed && row.attempts >= maxAttempts;
    row.due = spent ? 'aside' : later ? 'later' : 'now';
    if (failed) row.error = 'Error: no';
    else row.attempts -= 1;
    row.taken = undefined;
  }

  async fail({ at }: Operations['fail']): Promise<void> {
    const taken = this.#pick(at, this.#living);
    if (taken === undefined) return;
    await taken.claim.fail('never');
    Object.assign(taken.row, { due: 'aside', error: 'never', taken: undefined });
  }

  async retry({ ids }: Operations['retry']): Promise<void> {
    const waiting = this.#rows.filter(({ id, due }) => ids.includes(id) && due !== 'now');
    expect(await this.#jobs.retry(ids)).toBe(waiting.length);
    for (const row of waiting) Object.assign(row, { due: 'now', attempts: 0, error: null });
  }

  async weigh({ id, weight }: Operations['weigh']): Promise<void> {
    await this.#database.query('update job set weight = $2 where id = $1', [id, weight]);
    for (const row of this.#rows) if (row.id === id) row.weight = weight;
  }

  async change({ id, status }: Operations['change']): Promise<void> {
    await this.#database.query(`update job set status = $2 where id = $1 and status <> 'done'`, [id, status]);
    for (const row of this.#rows) if (row.id === id && row.status !== 'done') row.status = status;
  }

  /** Two hours pass for all who wait for their time. */
  async pass(): Promise<void> {
    const [table, due] = this.#storage === 'columns' ? ['job', 'fencepost_due'] : ['fencepost.claim', 'due'];
    await this.#database.query(
      `update ${table} set ${due} = ${due} - interval '2 h' where ${due} > now() and isfinite(${due})`,
    );
    for (const row of this.#rows) if (row.due === 'later') row.due = 'passed';
  }

  async turn(): Promise<void> {
    this.#processes.reverse();
  }

  async die(): Promise<void> {
    await buryHolders(this.#database);
    for (const taken of this.#open) taken.dead = true;
    this.#processes.splice(0, 2, this.#start(), this.#start());
  }

  get #jobs() {
    return definitionOf(this.#processes[0] as Fencepost, this.#database, this.#storage);
  }

  get #free(): Row[] {
    return this.#rows.filter(
      ({ status, due, taken }) =>
        status === 'new' && (due === 'now' || due === 'passed') && taken?.dead !== false,
    );
  }

  get #living(): Taken[] {
    return this.#open.filter(({ dead }) => !dead);
  }

  #setAside(rows: readonly Row[]): boolean {
    const spent = rows.filter(({ attempts }) => attempts >= maxAttempts);
    for (const row of spent) Object.assign(row, { due: 'aside', taken: undefined });
    return spent.length > 0;
  }

  #take(claims: readonly Job[], rows: readonly Row[]): void {
    for (const [index, claim] of claims.entries()) {
      const row = rows[index] as Row;
      row.attempts += 1;
      expect(claim.attempt).toBe(row.attempts);
      expect(claim.token).toBeGreaterThan(row.token);
      row.token = claim.token;
      row.due = 'now';
      row.taken = { claim, row, dead: false };
      this.#open.push(row.taken);
    }
  }

  /** Takes one of these out of those that are open. */
  #pick(at: number, of: readonly Taken[]): Taken | undefined {
    const taken = of[at % of.length];
    if (taken !== undefined) this.#open.splice(this.#open.indexOf(taken), 1);
    return taken;
  }
}

function definitionOf(fencepost: Fencepost, { pool }: TestDatabase, storage: LivingStorage) {
  return fencepost.claims.define<Tables, 'job'>({
    db: new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) }),
    table: 'job',
    key: 'id',
    tenant: 'tenant',
    where: (eb) => eb('status', '=', 'new'),
    orderBy: ['weight desc', 'id'],
    ttl: '1m',
    maxAttempts,
    done: { status: 'done' },
    storage,
  });
}

test.each([
  ...livingStorages.map((storage) => [storage, storage] as const),
  ['sidecar, by steps over runs,', 'sidecar'] as const,
])('%s does what the model does', async (what, storage) => {
  await using database = await createDatabase();
  if (what !== storage) await plant(database.query, 'claim_run', ['> 4000', '> 0']);
  await database.query(`create table job (id integer primary key, tenant text not null, status text not null default 'new',
    weight integer not null)`);
  const started = new Set<Fencepost>();
  const start = (): Fencepost => {
    const process = new Fencepost({ connection: database.url });
    started.add(process);
    return process;
  };
  const close = async (over: Iterable<Fencepost>): Promise<void> => {
    for (const process of over) {
      started.delete(process);
      await process.close();
    }
  };
  const processes = [start(), start()];
  await definitionOf(processes[0] as Fencepost, database, storage).ensure();
  const counts: Record<string, number> = {};
  await fc.assert(
    fc.asyncProperty(tables, sequences, async (rows, sequence) => {
      await database.query('truncate job, fencepost.claim, fencepost.claim_batch');
      await database.query(
        'insert into job (id, tenant, weight) select * from unnest($1::integer[], $2::text[], $3::integer[])',
        [rows.map((_, index) => index + 1), rows.map((row) => row.tenant), rows.map((row) => row.weight)],
      );
      const comparison = new Comparison(database, storage, processes, start, rows);
      await comparison.run(sequence);
      await close([...started].filter((process) => !processes.includes(process)));
      for (const [name, count] of Object.entries(comparison.counts))
        counts[name] = (counts[name] ?? 0) + count;
    }),
    { numRuns: 100, examples },
  );
  console.log(
    Object.entries(counts)
      .map(([name, count]) => `${name}: ${count}`)
      .join(', '),
  );
  expect(counts.stale).toBeGreaterThan(0);
  await close([...started]);
});
