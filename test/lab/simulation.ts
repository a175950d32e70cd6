/**
 * The client code of leases as it is, with its clock, its timers, its randomness and its database port replaced: one
 * seed is one run, of some minutes of simulated time in some milliseconds. fast-check's scheduler decides what arrives
 * next: requests, answers, notifications, the time itself and faults. The server is the protocol as a model.
 */
import fc, { type Scheduler } from 'fast-check';
import { pause } from '../../src/core/abort.ts';
import { FencepostError } from '../../src/core/errors.ts';
import { Holders } from '../../src/holder/holders.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { Leases } from '../../src/lease/leases.ts';
import { Commands } from '../../src/session/commands.ts';
import { Link } from '../../src/session/link.ts';
import { Notifications } from '../../src/session/notifications.ts';
import { Random } from '../support/random.ts';
import { checkHistory, refutationText } from './history.ts';
import { ProtocolServer } from './protocol-server.ts';
import { SimulatedNetwork, SimulatedProcess, SimulatedTime } from './simulated-world.ts';

/** How the world is in which they live. */
export interface World {
  /** Whether writes stand behind the guard. */
  readonly guard: boolean;
  /** How much faster or slower than the server's a client's clock may be. */
  readonly drift: number;
  /** Is told what happens, when. */
  readonly tell?: (what: string) => void;
}

export const usual: World = { guard: true, drift: 0.03 };

export interface Run {
  readonly violations: readonly string[];
  readonly simulatedMs: number;
  readonly grants: number;
  readonly faults: number;
  readonly refusedWrites: number;
  /** Accepted after a newer one: never behind the guard. */
  readonly staleWrites: number;
}

const ttls = [300, 1_000];
const names = ['a', 'b'];
const turns = 8;

/** One run. The same seed gives the same one. */
export async function simulate(seed: number, world: World = usual): Promise<Run> {
  let run: Run | undefined;
  const property = fc.asyncProperty(fc.scheduler(), async (scheduler) => {
    run = await live(scheduler, new Random(seed), world);
  });
  const details = await fc.check(property, { seed, numRuns: 1, endOnFailure: true });
  if (details.errorInstance !== null && details.errorInstance !== undefined) throw details.errorInstance;
  if (run === undefined) throw new Error(`seed ${seed} gave no run`);
  return run;
}

async function live(scheduler: Scheduler, random: Random, world: World): Promise<Run> {
  const chance = Math.random;
  Math.random = () => random.next();
  try {
    return await new Simulation(scheduler, random, world).run();
  } finally {
    Math.random = chance;
  }
}

interface Client {
  readonly process: SimulatedProcess;
  readonly network: SimulatedNetwork;
  readonly leases: Leases;
  close(): Promise<void>;
}

class Simulation {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #world: World;
  readonly #time = new SimulatedTime();
  readonly #server: ProtocolServer;
  readonly #clients: readonly Client[];
  readonly #violations: string[] = [];
  /** What was handed out of each name, with whom: the last few. */
  readonly #handed = new Map<string, { readonly client: Client; readonly lease: Lease }[]>();
  readonly #newest = new Map<string, bigint>();
  #faults = 0;
  #calm = false;

  constructor(scheduler: Scheduler, random: Random, world: World) {
    this.#scheduler = scheduler;
    this.#random = random;
    this.#world = world;
    this.#server = new ProtocolServer(
      () => this.#time.now,
      (message) => {
        for (const { network } of this.#clients) network.notify(message);
      },
    );
    this.#clients = Array.from({ length: 3 }, (_, who) => this.#open(who));
  }

  async run(): Promise<Run> {
    let working = true;
    const work = Promise.all(this.#clients.map((client) => this.#work(client))).finally(() => {
      working = false;
    });
    work.catch(() => {});
    await this.#go(() => working, 20_000);
    this.#recover();
    let closing = true;
    const closed = Promise.all(this.#clients.map((client) => client.close())).finally(() => {
      closing = false;
    });
    await this.#go(() => closing || working, 20_000);
    if (working || closing) this.#violations.push(working ? 'a call never ends' : 'a close never ends');
    else await Promise.all([work, closed]);
    this.#time.pass(Math.max(...ttls));
    this.#time.now += Math.max(...ttls);
    for (const name of this.#server.held) this.#violations.push(`${name} is held by nobody who lives`);
    this.#checkGrants();
    const { grants, writes, refused } = this.#server;
    const found = checkHistory({ acquisitions: [], writes, completions: [] });
    if (this.#world.guard) this.#violations.push(...found.map(refutationText));
    return {
      violations: this.#violations,
      simulatedMs: this.#time.now - 1_000,
      grants: grants.length,
      faults: this.#faults,
      refusedWrites: refused,
      staleWrites: found.length,
    };
  }

  /** Lets one thing after the other happen, as long as that is wanted. */
  async #go(goesOn: () => boolean, most: number): Promise<void> {
    for (let step = 0; step < most && goesOn(); step += 1) {
      // Time goes on when nothing is under way, and now and then although something is.
      const waiting = this.#scheduler.count() > 0;
      if (!this.#calm && this.#random.below(40) === 0) this.#fault();
      else if (waiting && this.#random.below(8) > 0) await this.#scheduler.waitOne();
      else this.#time.pass(this.#random.below(100) + 1);
      await new Promise(setImmediate);
    }
  }

  async #work(client: Client): Promise<void> {
    const { process, leases } = client;
    for (let turn = 0; turn < turns; turn += 1) {
      const name = this.#random.pick(names);
      const ttl = this.#random.pick(ttls);
      const controller = new AbortController();
      const cancel =
        this.#random.below(5) === 0
          ? process.after(this.#random.below(ttl), () => controller.abort(new Error('enough')))
          : () => {};
      const lease = await leases
        .tryAcquire(name, {
          ttl,
          wait: this.#random.below(2) * this.#random.below(2 * ttl),
          renew: this.#random.below(3) > 0,
          signal: controller.signal,
        })
        .catch((error: unknown) => {
          if (controller.signal.aborted) return null;
          if (!(error instanceof FencepostError)) throw error;
          // Whatever happens to a call, it can be made again.
          if (!error.retriable) this.#violations.push(`a call failed for good: ${error}`);
          return null;
        });
      cancel();
      if (lease === null) continue;
      this.#handedOut(client, name, lease);
      await this.#hold(client, name, lease, ttl);
      await lease.release().catch((error: unknown) => {
        if (!(error instanceof FencepostError)) throw error;
      });
    }
  }

  /** Some steps of work, each of which looks at the lease first and then writes, whenever that arrives. */
  async #hold({ process, network }: Client, name: string, lease: Lease, ttl: number): Promise<void> {
    for (let step = 0; step < 3; step += 1) {
      await pause(process, this.#random.below(ttl));
      if (lease.state === 'lost') {
        if (!lease.signal.aborted)
          this.#violations.push(`${name} ${lease.token}: lost, and its signal is silent`);
        return;
      }
      // It may have been decided on long before it arrives.
      const write = (): boolean => this.#server.write(name, lease.token, this.#world.guard);
      if (this.#random.below(3) === 0) this.#time.at(this.#time.now + this.#random.below(2 * ttl), write);
      else network.send(`write ${name} ${lease.token}`, write);
    }
  }

  /** Nobody who runs may still believe in an older one; and its token is the greatest. */
  #handedOut(client: Client, name: string, lease: Lease): void {
    this.#tell(`client ${this.#clients.indexOf(client)}: was told of ${name} ${lease.token}`);
    const before = this.#newest.get(name) ?? 0n;
    if (lease.token <= before)
      this.#violations.push(`${name}: token ${lease.token} was told after ${before}`);
    else this.#newest.set(name, lease.token);
    const others = this.#handed.get(name) ?? [];
    for (const { client: other, lease: old } of others) {
      if (other.process.frozen) continue;
      if (old.state === 'held' || old.state === 'doubtful')
        this.#violations.push(`${name}: ${lease.token} was granted while ${old.token} is ${old.state}`);
    }
    this.#handed.set(name, [...others.slice(-4), { client, lease }]);
  }

  #checkGrants(): void {
    // A call whose holder died before its answer is granted again under the next one, and told of that alone.
    const calls = new Set<string>();
    for (const { name, token, nonce, holder, fixed } of this.#server.grants) {
      const call = `${nonce} ${holder}`;
      if (calls.has(call))
        this.#violations.push(`one call for ${name} was granted twice, last with ${token}`);
      if (!fixed) calls.add(call);
    }
    for (const handed of this.#handed.values())
      for (const { lease } of handed)
        if (lease.state === 'held' || lease.state === 'doubtful')
          this.#violations.push(`${lease.name} ${lease.token} is ${lease.state} after everything was closed`);
  }

  #fault(): void {
    const who = this.#random.below(this.#clients.length);
    const { process, network } = this.#clients[who] as Client;
    this.#faults += 1;
    const kinds: Record<string, () => void> = {
      'connections cut': () => network.cut(this.#random),
      'network down, or up again': () => {
        network.down = !network.down;
      },
      'process frozen, or thawed': () => (process.frozen ? process.thaw() : process.freeze()),
      'wall clock set': () => process.setWall((this.#random.next() - 0.3) * 1_000),
    };
    const kind = this.#random.pick(Object.keys(kinds));
    this.#tell(`client ${who}: ${kind}`);
    kinds[kind]?.();
  }

  #tell(what: string): void {
    this.#world.tell?.(`${this.#time.now.toFixed(0).padStart(8)} ms  ${what}`);
  }

  /** The end of all faults: what is left has to come to an end by itself. */
  #recover(): void {
    this.#calm = true;
    for (const { process, network } of this.#clients) {
      network.down = false;
      process.thaw();
    }
  }

  /** As `Fencepost` wires it. */
  #open(who: number): Client {
    const { drift } = this.#world;
    const process = new SimulatedProcess(this.#time, 1 + (2 * this.#random.next() - 1) * drift);
    const network = new SimulatedNetwork(this.#scheduler, this.#server, process, (what) =>
      this.#tell(`client ${who}: ${what}`),
    );
    const { open } = network;
    const [schema, clock] = ['fencepost', process];
    const link = new Link(open, clock);
    const notifications = new Notifications(link, 'leases', clock);
    const holders = new Holders({
      link,
      open,
      clock,
      schema,
      application: 'simulated',
      revoked: () => {},
      moved: async () => {},
    });
    const commands = new Commands(open, clock);
    const leases = new Leases({ schema, clock, commands, holders, notifications });
    const close = async (): Promise<void> => {
      await leases.close();
      await Promise.allSettled([holders.close()]);
    };
    return { process, network, leases, close };
  }
}
