/**
 * Clients that ask for leases in every way there is: alone and shared, in slots, per tenant and in all, fair or not. Some
 * let go by release, some let their term run out, some are closed with all they have. What they believe to hold at the
 * same time must be allowed together.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Fencepost, FencepostError, type Lease } from '../../src/index.ts';
import { Random } from '../support/random.ts';
import { type Findings, script } from '../support/script.ts';

export interface Modes {
  /** Grants in all. */
  rounds: number;
  clients: number;
  callers: number;
  /** 0: another one each time. */
  seed: number;
}

const tenants = ['a', 'b', 'c'];
const limits = { tenant: 1, total: 2 };
const slots = 3;
const kinds = ['exclusive', 'shared', 'slots', 'tenants'] as const;
type Kind = (typeof kinds)[number];

export async function raceModes(url: string, options: Modes): Promise<Findings> {
  const random = options.seed === 0 ? new Random() : new Random(options.seed);
  const violations: string[] = [];
  const counts = {
    grants: 0,
    exclusive: 0,
    shared: 0,
    slots: 0,
    tenants: 0,
    refusals: 0,
    expired: 0,
    closed: 0,
    swept: 0,
  };
  const open = (): Fencepost => new Fencepost({ connection: url });
  const clients = Array.from({ length: options.clients }, open);
  /** What is held, as the clients believe. */
  const inside = new Map<Lease, Kind>();

  const check = (): void => {
    const held = [...inside].filter(([lease]) => lease.state === 'held');
    const of = (kind: Kind): Lease[] => held.filter(([, one]) => one === kind).map(([lease]) => lease);
    const [writers, readers, slotted, tenanted] = kinds.map(of) as [Lease[], Lease[], Lease[], Lease[]];
    const tell = (text: string, broken: boolean): void => void (broken && violations.push(text));
    tell(`${writers.length} alone at once`, writers.length > 1);
    tell(`${readers.length} readers next to a writer`, writers.length > 0 && readers.length > 0);
    tell(`${slotted.length} in ${slots} slots`, slotted.length > slots);
    tell('two in one slot', new Set(slotted.map(({ slot }) => slot)).size < slotted.length);
    tell(`${tenanted.length} in all, where ${limits.total} may`, tenanted.length > limits.total);
    for (const tenant of tenants) {
      const same = tenanted.filter((lease) => lease.tenant === tenant).length;
      tell(`${same} of a tenant, where ${limits.tenant} may`, same > limits.tenant);
    }
  };

  const hold = async (lease: Lease, kind: Kind): Promise<void> => {
    counts.grants += 1;
    counts[kind] += 1;
    inside.set(lease, kind);
    check();
    await delay(random.below(3));
    if (random.below(20) === 0) {
      // Its term runs out by itself; to be still believed in then would be the mistake.
      counts.expired += 1;
      while (lease.state === 'held') await delay(5);
      inside.delete(lease);
      return;
    }
    inside.delete(lease);
    await lease.release();
  };

  const turn = async (client: Fencepost): Promise<void> => {
    const common = { ttl: 300, renew: false, wait: random.below(200), fair: random.below(3) === 0 } as const;
    const kind = random.pick(kinds);
    const asked: Record<Kind, () => Promise<Lease | null>> = {
      exclusive: () => client.leases.tryAcquire('one', common),
      shared: () => client.leases.tryAcquire('one', { ...common, mode: 'shared' }),
      slots: () => client.leases.tryAcquire('some', { ...common, slots }),
      tenants: () =>
        client.leases.tryAcquire(
          { tenant: random.pick(tenants), name: 'total' },
          { ...common, slots: limits },
        ),
    };
    const lease = await asked[kind]();
    if (lease !== null) return hold(lease, kind);
    counts.refusals += 1;
  };

  const call = async (caller: number): Promise<void> => {
    while (counts.grants < options.rounds && violations.length === 0) {
      const place = caller % clients.length;
      try {
        await turn(clients[place] as Fencepost);
        // What is free is swept away under their feet.
        if (random.below(20) === 0) {
          counts.swept += await (clients[place] as Fencepost).leases.sweep({ olderThan: 0 });
        }
      } catch (error) {
        if (!(error instanceof FencepostError)) throw error;
        // Lost on the way, or its client is being closed.
        if (!error.retriable && error.code !== 'STATE') throw error;
      }
      if (random.below(200) === 0) {
        const closing = clients[place] as Fencepost;
        clients[place] = open();
        counts.closed += 1;
        await closing.close();
      }
    }
  };
  await Promise.all(Array.from({ length: options.callers }, (_, caller) => call(caller)));
  await Promise.all(clients.map((client) => client.close()));
  return { figures: { ...counts, seed: random.seed }, violations };
}

await script(import.meta, { rounds: 200_000, clients: 6, callers: 24, seed: 0 }, raceModes);
