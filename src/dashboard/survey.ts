import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import type { Connection } from '../session/connection.ts';
import type { Database } from '../session/database.ts';
import { type PartStatement, readPart, surveyParts } from '../sql/survey.ts';
import { Losses } from './losses.ts';
import type { Holder, Loss, Numbers, Part, Point, Snapshot, Trouble, Waits } from './snapshot.ts';

/** Looks that the charts show. */
const remembered = 600;

/** Holders of which a look has no more: then nobody can tell who is gone. */
const mostHolders = 1_000;

/** What is looked at more often than the rest, where the budget does not do for all. */
const weights: Readonly<Record<string, number>> = { numbers: 4, holders: 2, waits: 2 };

interface Found {
  readonly statement: PartStatement;
  readonly part: Part<unknown>;
  /** When it was last looked at, with or without success. */
  readonly looked: number;
  /** The shortest time that it took lately: what took longer has been waiting for a processor as well. */
  readonly least: number;
}

/**
 * Looks again and again for all pages at once, on one connection, which is opened when it is needed. The time that the
 * server spends is limited to a share of one core: every look has a budget, those parts are looked at first that are
 * oldest, and the others wait until there is budget again.
 */
export class Survey {
  readonly #database: Database;
  readonly #clock: Clock;
  /** Of one core: 0.01 is a hundredth. */
  readonly #share: number;
  readonly #parts: Map<string, Found>;
  readonly #losses = new Losses();
  readonly #recent: Loss[] = [];
  readonly #history: Point[] = [];
  #connection: Promise<Connection> | undefined;
  /** Milliseconds of the server that may be spent, and when that was so. */
  #budget = { left: Infinity, at: undefined as Moment | undefined };
  #before: { readonly at: number; readonly tokens: number; readonly rate: number | null } | undefined;
  /** Which look at the holders was the last whose losses were counted. */
  #seen: number | undefined;

  constructor(database: Database, clock: Clock, share: number) {
    this.#database = database;
    this.#clock = clock;
    this.#share = share;
    const parts = surveyParts(database.schema);
    this.#parts = new Map(
      parts.map((statement) => [statement.part, { statement, part: {}, looked: 0, least: Infinity }]),
    );
  }

  get history(): readonly Point[] {
    return this.#history;
  }

  async look(): Promise<Snapshot | Trouble> {
    try {
      const connection = await this.connection();
      this.#earn();
      for (const found of this.#oldestFirst()) {
        if (this.#budget.left <= 0) break;
        await this.#lookAt(connection, found);
      }
      // The first look is free: it has to see everything.
      if (this.#budget.left === Infinity) this.#budget.left = 0;
      return this.#snapshot();
    } catch (error) {
      this.#before = undefined;
      return { at: this.#clock.now().wall, failure: messageOf(error) };
    }
  }

  /** The one connection, for whatever a page asks for besides. Who comes while it is opened waits for the same. */
  connection(): Promise<Connection> {
    const open = (): Promise<Connection> => this.#database.open();
    this.#connection = this.#connection?.then((one) => (one.lost ? open() : one), open) ?? open();
    return this.#connection;
  }

  /** Closes the connection until somebody looks again. */
  async rest(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#before = undefined;
    await connection?.then(
      (one) => one.close(),
      () => {},
    );
  }

  /** What is not used up is kept for ten seconds, so that a dear part gets its turn among cheap ones. */
  #earn(): void {
    const now = this.#clock.now();
    const { left, at } = this.#budget;
    const earned = at === undefined ? 0 : elapsed(at, now) * this.#share;
    this.#budget = {
      left: left === Infinity ? left : Math.min(left + earned, 10_000 * this.#share),
      at: now,
    };
  }

  #oldestFirst(): Found[] {
    const now = this.#clock.now().wall;
    const age = ({ statement, looked }: Found): number => (now - looked) * (weights[statement.part] ?? 1);
    return [...this.#parts.values()].sort((one, other) => age(other) - age(one));
  }

  async #lookAt(connection: Connection, { statement, part, least: before }: Found): Promise<void> {
    const began = this.#clock.now();
    const looked = began.wall;
    try {
      const { found, took } = readPart(await connection.query(statement));
      const least = Math.min(took, before * 1.05);
      this.#budget.left -= Math.min(took, 2 * least);
      this.#parts.set(statement.part, { statement, looked, least, part: { found, at: looked } });
    } catch (error) {
      this.#budget.left -= elapsed(began, this.#clock.now());
      this.#parts.set(statement.part, {
        ...{ statement, looked, least: before },
        part: { ...part, failure: messageOf(error) },
      });
      if (connection.lost) throw error;
    }
  }

  #snapshot(): Snapshot {
    const at = this.#clock.now().wall;
    const part = <Of>(name: string): Part<Of> => (this.#parts.get(name)?.part ?? {}) as Part<Of>;
    const numbers = part<Numbers>('numbers');
    const holders = part<readonly Holder[]>('holders');
    const waits = part<Waits>('waits');
    const lost = this.#seeLosses(holders);
    const point: Point = {
      at,
      grants: this.#rate(numbers),
      held: numbers.found?.leases_held ?? null,
      waiting: waits.found?.total ?? null,
      lost,
    };
    this.#history.push(point);
    if (this.#history.length > remembered) this.#history.shift();
    return {
      at,
      numbers,
      holders: { ...holders, ...(holders.found === undefined ? {} : { found: holders.found.slice(0, 50) }) },
      waits,
      locks: part('locks'),
      soonest: part('soonest'),
      blocked: part('blocked'),
      counts: part('counts'),
      claims: part('claims'),
      lost: this.#losses.count,
      losses: this.#recent,
      point,
    };
  }

  /** Tokens drawn a second between the last two looks at the numbers. */
  #rate({ found, at }: Part<Numbers>): number | null {
    if (found === undefined || at === undefined) return null;
    const before = this.#before;
    if (before?.at === at) return before.rate;
    const drawn = before === undefined ? 0 : Math.max(0, found.tokens - before.tokens);
    const rate = before === undefined ? null : (drawn * 1_000) / Math.max(1, at - before.at);
    this.#before = { at, tokens: found.tokens, rate };
    return rate;
  }

  #seeLosses({ found, at }: Part<readonly Holder[]>): number {
    if (found === undefined || at === undefined || at === this.#seen || found.length >= mostHolders) return 0;
    this.#seen = at;
    const lost = this.#losses.see(found, at);
    this.#recent.unshift(...lost.map((one) => ({ ...one, at })));
    this.#recent.length = Math.min(this.#recent.length, 50);
    return lost.length;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
