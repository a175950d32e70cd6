/** A process that stands for election for ever, and writes under the guard as long as it leads. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { Fencepost, FencepostError, type Term } from '../../src/index.ts';
import { argumentOfChild, tellParent } from '../support/child.ts';

export interface ElectionProcessArgument {
  /** Where it writes; without it the process does nothing but lead. */
  readonly url?: string;
  /** What Fencepost connects to. */
  readonly leaseUrl: string;
  readonly key: string;
  readonly ttl: number;
}

/** What the process tells: that it leads, that a term has ended and why, or that the campaign has. */
export interface ElectionNews {
  readonly what: 'leads' | 'ended' | 'rejected';
  readonly token?: string;
  readonly why?: string;
}

const { url, leaseUrl, key, ttl } = argumentOfChild<ElectionProcessArgument>();
const client =
  url === undefined
    ? undefined
    : new pg.Client({ connectionString: url, application_name: `writer ${process.pid}` });
await client?.connect();

const codeOf = (error: unknown): string => (error instanceof FencepostError ? error.code : String(error));

async function write(term: Term, to: pg.Client): Promise<void> {
  await to.query('begin');
  try {
    await term.guard(to);
    await to.query('insert into public.written (token) values ($1)', [term.token]);
    await to.query('commit');
  } catch (error) {
    await to.query('rollback');
    throw error;
  }
}

async function lead(term: Term): Promise<void> {
  const token = String(term.token);
  tellParent({ what: 'leads', token } satisfies ElectionNews);
  try {
    for (;;) {
      // The guard comes before any look at the signal: Postgres has to refuse what this process should not do.
      if (client !== undefined) await write(term, client);
      await delay(5, undefined, { signal: client === undefined ? term.signal : undefined });
    }
  } catch (error) {
    const why = `${codeOf(error)} ${codeOf(term.signal.reason)}`;
    tellParent({ what: 'ended', token, why } satisfies ElectionNews);
    throw error;
  }
}

const fencepost = new Fencepost({ connection: leaseUrl });
fencepost.elections.campaign(key, { ttl }, lead).catch((error: unknown) => {
  tellParent({ what: 'rejected', why: String(error) } satisfies ElectionNews);
  return fencepost.close();
});
