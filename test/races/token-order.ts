/**
 * Sessions that speak the protocol in SQL and take and release one lease as fast as they can. A trigger writes down each
 * grant under the row lock: in that order tokens have to rise.
 */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { inversions, recordGrants } from '../support/grants.ts';
import { type Findings, script } from '../support/script.ts';

export interface TokenOrder {
  /** Grants. */
  rounds: number;
  sessions: number;
}

export async function raceForTokens(
  url: string,
  { rounds, sessions }: TokenOrder,
  at: (done: number) => void = () => {},
): Promise<Findings> {
  const pool = new pg.Pool({ connectionString: url, max: sessions });
  const query = async <Row extends pg.QueryResultRow>(text: string): Promise<Row[]> =>
    (await pool.query<Row>(text)).rows;
  await recordGrants({ query });
  const counts = { grants: 0, refusals: 0 };

  const live = async (): Promise<void> => {
    const session = await pool.connect();
    const ask = async (name: string, text: string, values: unknown[]) =>
      (await session.query({ name, text, values })).rows[0];
    const { id } = await ask('open', `select fencepost.holder_open('1 hour', 'race') as id`, []);
    const take = `select tokens[1] as token from fencepost.lease_acquire($1, 0, null, '{""}', '{one}', array[$2::uuid])`;
    const release = `select fencepost.lease_release($1, '{""}', '{one}', '{0}', array[$2::bigint])`;
    while (counts.grants < rounds) {
      at(counts.grants);
      const { token } = await ask('take', take, [id, randomUUID()]);
      counts[token === null ? 'refusals' : 'grants'] += 1;
      if (token !== null) await ask('release', release, [id, token]);
    }
    session.release();
  };
  await Promise.all(Array.from({ length: sessions }, live));
  const inverted = await inversions({ query });
  await pool.end();
  return { figures: counts, violations: inverted.map((row) => `out of order: ${JSON.stringify(row)}`) };
}

await script(import.meta, { rounds: 1_000_000, sessions: 8 }, raceForTokens);
