/** A process that holds a lease and does what its parent says, one message at a time. */
import pg from 'pg';
import { Fencepost, FencepostError, type Lease } from '../../src/index.ts';
import { argumentOfChild, tellParent } from '../support/child.ts';

export interface HolderProcessArgument {
  readonly url: string;
  /** What Fencepost connects to, when that is another way to the same database. */
  readonly leaseUrl?: string;
  readonly key: string;
  readonly ttl: number;
}

export interface Acquired {
  readonly token: string;
}

/** What the process believes, and what happens to a guarded write of it. */
export interface Report {
  readonly asserted: string;
  readonly state: string;
  readonly aborted: boolean;
  readonly write: string;
}

const { url, leaseUrl = url, key, ttl } = argumentOfChild<HolderProcessArgument>();
const fencepost = new Fencepost({ connection: leaseUrl });
const client = new pg.Client({ connectionString: url });
client.on('error', () => {});
await client.connect();
const lease = await acquire();

/** On a busy machine the answer can come later than the ttl. */
function acquire(): Promise<Lease> {
  return fencepost.leases.acquire(key, { ttl }).catch((error: unknown) => {
    if (error instanceof FencepostError && error.code === 'LOCK_LOST') return acquire();
    throw error;
  });
}

const codeOf = (error: unknown): string => (error instanceof FencepostError ? error.code : String(error));

async function write(): Promise<string> {
  await client.query('begin');
  try {
    await lease.guard(client);
    await client.query('insert into public.written values ($1)', [lease.token]);
    const { command } = await client.query('commit');
    return command;
  } catch (error) {
    await client.query('rollback');
    return codeOf(error);
  }
}

process.on('message', async () => {
  let asserted = 'held';
  try {
    lease.assertHeld();
  } catch (error) {
    asserted = codeOf(error);
  }
  const { state } = lease;
  const { aborted } = lease.signal;
  tellParent({ asserted, state, aborted, write: await write() } satisfies Report);
});

tellParent({ token: String(lease.token) } satisfies Acquired);
