/**
 * What one claim costs the server, in buffers and time, at a small and at a great backlog, with many rows in flight, with
 * one tenant that floods the table, and how soon another one's only row is claimed then.
 *
 *   node test/races/claim-cost.ts [--storage columns] [--rows 1000000] [--flight 10000] [--batch 50]
 */
import { type Generated, Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { definitionOf } from '../../src/claim/definition.ts';
import { Preparing } from '../../src/claim/preparing.ts';
import { UserDatabase } from '../../src/claim/user-database.ts';
import { pauseAfter } from '../../src/claim/walk.ts';
import { Fencepost } from '../../src/index.ts';
import type { Position } from '../../src/sql/claim-asked.ts';
import { holdRow } from '../../src/sql/claim-held.ts';
import { statementsOf } from '../../src/sql/claim-statements.ts';
import { readClaimed } from '../../src/sql/claimed-rows.ts';
import { type Findings, script } from '../support/script.ts';

interface Tables {
  job: { id: Generated<number>; tenant: string; status: string; priority: number };
}

interface Options extends Record<string, number | string> {
  storage: string;
  rows: number;
  flight: number;
  batch: number;
}

interface Cost {
  readonly buffers: number;
  readonly milliseconds: number;
}

const rounds = 21;

async function measure(url: string, { storage, rows, flight, batch }: Options): Promise<Findings> {
  const pool = new pg.Pool({ connectionString: url, max: 8 });
  pool.on('connect', (client) => client.on('error', () => {}));
  pool.on('error', () => {});
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  await using fencepost = new Fencepost({ connection: url });
  await pool.query(`create table job (id integer generated always as identity primary key, tenant text not null,
    status text not null default 'new', priority integer not null default 0, payload text default repeat('x', 200))`);
  const options = (more: object) =>
    ({
      db,
      table: 'job',
      key: 'id',
      tenant: 'tenant',
      where: (eb: (column: string, operator: string, value: string) => unknown) => eb('status', '=', 'new'),
      orderBy: ['priority desc', 'id'],
      ttl: '10m',
      done: { status: 'done' },
      storage,
      ...more,
    }) as never;
  const jobs = (more: object = {}) => fencepost.claims.define<Tables, 'job'>(options(more));
  const fill = async (count: number, tenant: string, priority = 0) => {
    await pool.query('insert into job (tenant, priority) select $2, $3 from generate_series(1, $1)', [
      count,
      tenant,
      priority,
    ]);
    await pool.query('vacuum analyze job');
    await pool.query('checkpoint');
  };
  const { rows: opened } = await pool.query(`select fencepost.holder_open('1 day', 'cost') as id`);
  const claimant = { id: String(opened[0]?.id), epoch: 0 };

  async function tableOf(more: object) {
    const definition = definitionOf('fencepost', options(more));
    return new Preparing(new UserDatabase(db as never, 'fencepost'), definition.shape).table();
  }

  async function cost(more: object = {}, from?: Position | null): Promise<Cost> {
    const table = await tableOf(more);
    const { text, values } =
      storage === 'held'
        ? holdRow(table, 600_000, undefined, undefined)
        : statementsOf(table).claimRows(table, claimant, { limit: batch, fresh: true, from });
    const costs: Cost[] = [];
    const client = await pool.connect();
    for (let round = 0; round < rounds; round += 1) {
      await client.query('begin');
      const answer = await client.query(`explain (analyze, timing off, buffers, format json) ${text}`, [
        ...values,
      ]);
      await client.query('rollback');
      const [top] = answer.rows[0]['QUERY PLAN'];
      const buffers = top.Plan['Shared Hit Blocks'] + top.Plan['Shared Read Blocks'];
      // As it is sent: planned each time. Without clocks at each row, which cost more than the rows.
      costs.push({ buffers, milliseconds: top['Planning Time'] + top['Execution Time'] });
    }
    client.release();
    const median = (of: (one: Cost) => number): number =>
      costs.map(of).toSorted((a, b) => a - b)[Math.floor(rounds / 2)] ?? 0;
    return { buffers: median((one) => one.buffers), milliseconds: median((one) => one.milliseconds) };
  }

  /** Where a claim ends now; it is undone. */
  async function position(): Promise<Position | null> {
    const table = await tableOf({});
    const asked = { limit: batch, fresh: true, from: null };
    const { text, values } = statementsOf(table).claimRows(table, claimant, asked);
    const client = await pool.connect();
    await client.query('begin');
    const { rows } = await client.query(text, [...values]);
    await client.query('rollback');
    client.release();
    return readClaimed(rows).ended;
  }

  await jobs().ensure();
  if (storage !== 'held') await jobs({ perKey: { by: 'tenant', limit: 3 } }).ensure();
  await fill(1_000, 'a');
  const small = await cost();
  await fill(rows - 1_000, 'a');
  const great = await cost();
  const figures: Record<string, string> = {
    'backlog of 1,000': text(small),
    [`backlog of ${rows}`]: ratio(great, small),
  };
  const violations: string[] = [];
  const atMost = (name: string, one: Cost, times: number): void => {
    const worst = Math.max(one.buffers / small.buffers, one.milliseconds / small.milliseconds);
    if (worst > times) violations.push(`${name} costs ${worst.toFixed(1)} times as much, not ${times}`);
  };
  atMost(`a backlog of ${rows}`, great, 1.5);
  if (storage !== 'held') {
    const inFlight = [];
    while (inFlight.length < flight)
      inFlight.push(...(await jobs().claim({ limit: Math.min(5_000, flight) })));
    await pool.query('vacuum analyze job');
    await pool.query('vacuum analyze fencepost.claim');
    const flying = await cost({}, null);
    figures[`${flight} rows in flight, from the start`] = ratio(flying, small);
    const behind = await cost({}, await position());
    figures[`${flight} rows in flight, behind them`] = ratio(behind, small);
    const walked = walk(flying, behind);
    figures[`${flight} rows in flight, workers on average`] = ratio(walked, small);
    atMost(`${flight} rows in flight`, flying, 3);
    await Promise.all(inFlight.map((claim) => claim.release()));
    await pool.query('vacuum analyze job');
    await pool.query('vacuum analyze fencepost.claim');
  }
  // One tenant has a million rows that come first, another one row that comes last.
  await fill(1, 'z', -1);
  await fill(20, 'm', -1);
  figures['fair, one tenant floods'] = ratio(await cost({ fair: true }), small);
  const fair = jobs({ fair: true });
  for (let batches = 1; ; batches += 1) {
    const claims = await fair.claim({ limit: storage === 'held' ? 5 : batch });
    const found = claims.some(({ row }) => row.tenant === 'z');
    await Promise.all(claims.map((claim) => claim.complete()));
    if (!found && batches < 10) continue;
    figures['batches until the last comes'] = String(batches);
    if (batches > 2) violations.push(`${batches} batches until the other tenant's row`);
    break;
  }
  if (storage !== 'held') {
    figures['limit of 3 a key, one floods'] = ratio(
      await cost({ perKey: { by: 'tenant', limit: 3 } }),
      small,
    );
  }
  await fencepost.close();
  await pool.end();
  return { figures, violations };
}

/** As the workers walk: one claim from the start, and then others behind it for as long as the walk says. */
function walk(start: Cost, behind: Cost): Cost {
  const others = pauseAfter(start.milliseconds) / behind.milliseconds;
  const average = (of: (one: Cost) => number): number => (of(start) + others * of(behind)) / (1 + others);
  return { buffers: average((one) => one.buffers), milliseconds: average((one) => one.milliseconds) };
}

function text({ buffers, milliseconds }: Cost): string {
  return `${buffers} buffers, ${milliseconds.toFixed(2)} ms`;
}

function ratio(one: Cost, other: Cost): string {
  const times = (of: (cost: Cost) => number): string => (of(one) / of(other)).toFixed(2);
  return `${text(one)}: ${times((cost) => cost.buffers)} and ${times((cost) => cost.milliseconds)} times`;
}

await script(import.meta, { storage: 'columns', rows: 1_000_000, flight: 10_000, batch: 50 }, measure);
