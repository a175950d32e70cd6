import type { Report, Step } from './messages.ts';
import { type Blow, ttlMs } from './plan.ts';
import { plural, type Screen, type Style } from './screen.ts';

/** What the workers reported. */
export interface Counts {
  booked: number;
  takeovers: number;
  /** Writes that Postgres refused for their stale token. */
  refused: number;
  /** Writes under a stale token that Postgres accepted. */
  accepted: number;
}

/** One lease as it was granted. */
interface Grant {
  readonly worker: number;
  readonly tenant: string;
  readonly token: bigint;
  /** How many bookings the tenant had when it was granted. */
  readonly bookings: number;
  step: Step;
  /** The worker was frozen meanwhile. */
  frozen: boolean;
}

/** Follows the workers and tells in plain words what becomes of their leases. */
export class Story {
  readonly counts: Counts = { booked: 0, takeovers: 0, refused: 0, accepted: 0 };
  readonly #screen: Screen;
  readonly #guarded: boolean;
  readonly #seconds: number;
  #began: number | undefined;
  /** What each worker holds, or believes to. */
  readonly #grants = new Map<number, Grant>();
  /** The newest grant of each tenant. */
  readonly #newest = new Map<string, Grant>();
  readonly #bookings = new Map<string, number>();
  /** Workers that are frozen or dead, and since when. */
  readonly #down = new Map<number, { since: number; act: Blow['act'] }>();

  constructor(options: { screen: Screen; guarded: boolean; seconds: number }) {
    this.#screen = options.screen;
    this.#guarded = options.guarded;
    this.#seconds = options.seconds;
  }

  /** Milliseconds since the run began; 0 while workers are still being started. */
  get elapsed(): number {
    return this.#began === undefined ? 0 : performance.now() - this.#began;
  }

  begin(): void {
    this.#began = performance.now();
  }

  tick(): void {
    const { booked, takeovers, refused, accepted } = this.counts;
    const time = `${String(Math.floor(this.elapsed / 1_000)).padStart(3)} s of ${this.#seconds} s`;
    const stale = plural(this.#guarded ? refused : accepted, 'stale write');
    const fate = this.#guarded ? 'refused' : 'got in';
    const done = `${plural(booked, 'transfer')} booked   ${plural(takeovers, 'takeover')}`;
    this.#screen.status(` ${time}   ${done}   ${stale} ${fate} `);
  }

  /** The conductor did something to a worker. */
  struck(worker: number, act: Blow['act'], forMs: number): void {
    const grant = this.#grants.get(worker);
    if (act === 'freeze' || act === 'kill') {
      this.#down.set(worker, { since: this.elapsed, act });
      if (grant !== undefined) grant.frozen = act === 'freeze';
      const what = act === 'kill' ? 'killed' : `frozen for ${(forMs / 1_000).toFixed(1)} s`;
      this.#tell(worker, grant === undefined ? 'dim' : 'cyan', `${what}${whereabouts(grant)}`);
      if (act === 'kill') this.#grants.delete(worker);
      return;
    }
    this.#down.delete(worker);
    if (act === 'replace') this.#tell(worker, 'dim', 'replaced by a new process');
    else if (grant === undefined) this.#tell(worker, 'dim', 'wakes up');
    else this.#tell(worker, 'cyan', `wakes up and goes on with ${grant.tenant} as if nothing had happened`);
  }

  hear(worker: number, report: Report): void {
    if (report.kind === 'trouble') this.#tell(worker, 'dim', `starts over: ${report.text}`);
    if (report.kind !== 'step') return;
    if (report.step === 'granted') this.#granted(worker, report.tenant, report.token);
    const grant = this.#grants.get(worker);
    if (grant === undefined || grant.token !== report.token) return;
    grant.step = report.step;
    if (report.step === 'booked') this.#booked(grant);
    if (report.step === 'refused') {
      this.counts.refused += 1;
      this.#tell(worker, 'cyan', `writes to ${grant.tenant} with its old token ${grant.token}`);
      this.#tell('Postgres', ['green', 'bold'], 'REFUSED: the token is stale. Nothing was written');
    }
    if (report.step === 'noticed') {
      this.#tell(worker, 'green', `checks its lease of ${grant.tenant}, finds it lost, writes nothing`);
    }
    if (report.step === 'released' || report.step === 'lost') this.#grants.delete(worker);
  }

  #granted(worker: number, tenant: string, token: bigint): void {
    const before = this.#newest.get(tenant);
    const bookings = this.#bookings.get(tenant) ?? 0;
    const grant: Grant = { worker, tenant, token, bookings, step: 'granted', frozen: false };
    this.#grants.set(worker, grant);
    this.#newest.set(tenant, grant);
    if (before === undefined || before.step === 'released') return;
    const down = this.#down.get(before.worker);
    // A lease outlives its process by two thirds of its ttl or more; before that it must have been released.
    if (down === undefined || this.elapsed - down.since < ttlMs / 2) return;
    this.counts.takeovers += 1;
    this.#tell(worker, 'yellow', `takes over ${tenant} of worker ${before.worker}: expired. Token ${token}`);
  }

  #booked(grant: Grant): void {
    const { worker, tenant, token, frozen } = grant;
    this.counts.booked += 1;
    const bookings = this.#bookings.get(tenant) ?? 0;
    this.#bookings.set(tenant, bookings + 1);
    if (!frozen) return;
    if (this.#guarded) {
      this.#tell(worker, 'green', `writes to ${tenant}: Postgres finds its token the newest`);
      return;
    }
    if (this.#newest.get(tenant) === grant) {
      this.#tell(worker, 'green', `writes to ${tenant}: nobody else has had the lease meanwhile`);
      return;
    }
    this.counts.accepted += 1;
    this.#tell(worker, 'cyan', `writes to ${tenant} with its old token ${token}`);
    const newer = bookings - grant.bookings;
    const over =
      newer === 0 ? `while another worker is at ${tenant}` : `over ${plural(newer, 'newer booking')}`;
    this.#tell('Postgres', ['red', 'bold'], `ACCEPTED without a check, ${over}`);
  }

  #tell(who: number | 'Postgres', style: Style, text: string): void {
    const time = `${(this.elapsed / 1_000).toFixed(1).padStart(4)} s`;
    const name = (typeof who === 'number' ? `worker ${who}` : who).padEnd(9);
    this.#screen.line(`${this.#screen.paint('dim', time)}  ${this.#screen.paint(style, `${name} ${text}`)}`);
  }
}

function whereabouts(grant: Grant | undefined): string {
  if (grant === undefined) return ', holds no lease';
  const steps: Partial<Record<Step, string>> = {
    granted: 'not checked yet',
    checked: 'checked, not yet written',
    writing: 'in the middle of its write',
  };
  return `, holds ${grant.tenant}: ${steps[grant.step] ?? 'written already'}`;
}
