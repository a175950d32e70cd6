/**
 * Workers take one lock of three servers, again and again, while in turn one of the servers is ended and one is frozen.
 * No two may hold it at once, and work has to go on.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Fencepost } from '../../src/index.ts';
import { ExecutionError, type Lock, Redlock } from '../../src/redlock.ts';
import { type OwnServer, startOwnServer } from '../support/postmaster.ts';
import { type Findings, script } from '../support/script.ts';

export interface RedlockServers {
  seconds: number;
  workers: number;
  /** Milliseconds that a lock is asked for. */
  duration: number;
  /** Milliseconds that a server is away, and then from its return to the next one. */
  away: number;
  calm: number;
  /** How many votes are a majority: 2 keeps the promise, 1 does not. */
  quorum: number;
}

/** On the one clock of this process. `until`: when its holder stopped to act, no later than the lock was valid. */
interface Tenure {
  readonly worker: number;
  readonly from: number;
  readonly until: number;
}

export async function raceForMajority(_: string, options: RedlockServers): Promise<Findings> {
  const { seconds, workers, duration, away, calm, quorum } = options;
  const servers = await Promise.all([1, 2, 3].map(() => startOwnServer()));
  const history: Tenure[] = [];
  const counts = { acquired: 0, extended: 0, locked: 0, unreachable: 0, lost: 0, ends: 0, freezes: 0 };
  const duringFaults = { acquired: 0 };
  let fault = false;
  const end = performance.now() + seconds * 1_000;
  // However long a server takes to come back: one has been ended, and one frozen.
  const open = (): boolean => performance.now() < end || counts.freezes === 0;

  async function disturb(): Promise<void> {
    for (let turn = 0; open(); turn += 1) {
      const server = servers[turn % servers.length] as OwnServer;
      fault = true;
      if (turn % 2 === 0) {
        counts.ends += 1;
        await server.stop();
        await delay(away);
        await server.restart('immediate');
      } else {
        counts.freezes += 1;
        await server.freeze();
        await delay(away);
        await server.thaw();
      }
      fault = false;
      await delay(calm);
    }
  }

  async function work(worker: number): Promise<void> {
    const clients = servers.map(({ url }) => new Fencepost({ connection: url }));
    // A majority of one server each: what the check has to find.
    const voters = quorum === 1 ? [clients[worker % 3] as Fencepost] : clients;
    const redlock = new Redlock(voters, { retryCount: 0 });
    while (open()) {
      try {
        let lock = await redlock.acquire(['shared'], duration);
        counts.acquired += 1;
        if (fault) duringFaults.acquired += 1;
        let from = performance.now();
        const hold = async (held: Lock): Promise<void> => {
          const left = held.expiration - Date.now();
          await delay(Math.random() * Math.min(duration / 4, Math.max(0, left)));
          // What the lock promises ends with its validity, however late this line runs.
          const valid = performance.now() + (held.expiration - Date.now());
          history.push({ worker, from, until: Math.min(performance.now(), valid) });
          from = performance.now();
        };
        await hold(lock);
        if (Math.random() < 0.3) {
          lock = await lock.extend(duration);
          counts.extended += 1;
          from = performance.now();
          await hold(lock);
        }
        await lock.release();
      } catch (error) {
        if (!(error instanceof ExecutionError)) throw error;
        counts[error.reason] += 1;
      }
      await delay(Math.random() * 20);
    }
    await Promise.all(clients.map((client) => client.close()));
  }

  try {
    await Promise.all([disturb(), ...Array.from({ length: workers }, (_none, worker) => work(worker))]);
  } finally {
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  }
  const violations = overlaps(history);
  if (duringFaults.acquired === 0) violations.push('nothing was acquired while a server was away');
  return { figures: { ...counts, 'acquired meanwhile': duringFaults.acquired }, violations };
}

function overlaps(history: readonly Tenure[]): string[] {
  const sorted = history.toSorted((one, other) => one.from - other.from);
  let last: Tenure | undefined;
  return sorted.flatMap((tenure) => {
    const before = last;
    if (before === undefined || tenure.until > before.until) last = tenure;
    const overlap = before !== undefined && before.worker !== tenure.worker && tenure.from < before.until;
    return overlap ? [`two at once: ${JSON.stringify([before, tenure])}`] : [];
  });
}

await script(
  import.meta,
  { seconds: 300, workers: 6, duration: 2_000, away: 6_000, calm: 3_000, quorum: 2 },
  raceForMajority,
);
