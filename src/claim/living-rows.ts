import { Chain } from '../core/chain.ts';
import { elapsed, type Moment } from '../core/clock.ts';
import type { Duration } from '../core/duration.ts';
import { points } from '../core/events.ts';
import type { Holder } from '../holder/holder.ts';
import type { Cursor } from '../sql/claim-asked.ts';
import { cursorAfter } from '../sql/claim-groups.ts';
import { forgetRows } from '../sql/claim-sidecar-settle.ts';
import { statementsOf } from '../sql/claim-statements.ts';
import type { ClaimTable } from '../sql/claim-table.ts';
import { withoutOurs } from '../sql/claimed-rows.ts';
import { Claim } from './claim.ts';
import { ClaimedBatch } from './claimed-batch.ts';
import { Claiming, type Taken } from './claiming.ts';
import type { Definition } from './definition.ts';
import type { ClaimContext } from './register.ts';
import type { AsideRow, RowStore } from './row-store.ts';
import { Settling } from './settling.ts';
import type { UserDatabase } from './user-database.ts';
import { longest, Walk, walks } from './walk.ts';

/** How often rows that others got just then are made up for. Each time somebody else has got on. */
const mostTries = 20;

/** How often it is looked for claims of rows that are gone, while there seem to be some, in milliseconds. */
const soon = 100;

/** Claims that live on the holder of this process: kept in columns of the table, or beside it. */
export class LivingRows<Row, DB> implements RowStore<Row, DB> {
  readonly #context: ClaimContext;
  readonly #definition: Definition;
  readonly #database: UserDatabase;
  readonly #claiming: Claiming;
  readonly #walk: Walk;
  readonly #batches = new Chain<ClaimedBatch<Row, DB>>();
  #settling: Settling | undefined;
  /** The table that something was claimed of. */
  #claimed: ClaimTable | undefined;
  #forgot: Moment | undefined;
  #forgetting: Promise<void> | undefined;
  /** When others than fresh rows were looked at last, and none was wanted. */
  #unwanted: Moment | undefined;
  /** Where the next claim goes on that goes round groups; undefined at the end of a round. */
  #cursor: Cursor;

  constructor(context: ClaimContext, definition: Definition, database: UserDatabase) {
    this.#context = context;
    this.#definition = definition;
    this.#database = database;
    this.#claiming = new Claiming(context, database, definition.ttl);
    this.#walk = new Walk(context.clock);
  }

  async claim(
    table: ClaimTable,
    limit: number,
    tenant: unknown,
    inOrder: boolean,
  ): Promise<Claim<Row, DB>[]> {
    this.#claimed = table;
    this.#forgetAfter(this.#definition.ttl, table);
    let claims: Claim<Row, DB>[] = [];
    let fresh = true;
    const walk = inOrder || !walks(table) ? undefined : this.#walk;
    for (let tries = 1; ; tries += 1) {
      const left = limit - claims.length;
      const cursor = this.#cursor;
      const from = walk?.next(tenant);
      const began = this.#context.clock.now();
      const alone = !inOrder && this.#alone < Infinity;
      const asked = { limit: left, tenant, cursor, fresh, from, alone };
      const taking = this.#claiming.claim(table, (holder) =>
        statementsOf(table).claimRows(table, holder, asked),
      );
      // What is claimed already is not forgotten for what could not be added to it.
      const taken = await (claims.length === 0 ? taking : taking.catch(() => undefined));
      if (taken === undefined) return claims;
      const { claimed, aside, refused, others } = taken;
      // There were said to be others than fresh rows, and none is wanted: they do not match, come later, or are gone.
      if (!fresh && aside === 0 && claimed.every(({ attempt }) => attempt === 1)) {
        this.#unwanted = this.#context.clock.now();
        this.#forgetAfter(soon, table);
      }
      fresh &&= !others;
      const short = claimed.length + refused + aside < left;
      if (from !== undefined && !others)
        walk?.ended(tenant, from, began, from === null && short ? null : taken.ended);
      const ended = table.perKey !== undefined && short;
      this.#cursor = ended ? undefined : cursorAfter(claimed, cursor);
      const handed = this.#hand(table, taken);
      claims = claims.length === 0 ? handed : [...claims, ...handed];
      // Rows that were set aside may have stood in the way of others.
      const inVain = claims.length === 0 && aside > 0;
      const more = refused > 0 || others || inVain || (ended && cursor !== undefined);
      if (claims.length === limit || tries === mostTries || !more) return claims;
    }
  }

  /** Until claims that are not in order look from the start again. */
  get looksAgain(): number {
    return Math.min(this.#walk.rest, this.#alone);
  }

  /** For so many milliseconds claims that are not in order look at fresh rows alone; Infinity when they look at all. */
  get #alone(): number {
    if (this.#unwanted === undefined) return Infinity;
    const left = longest - elapsed(this.#unwanted, this.#context.clock.now());
    return left > 0 ? left : Infinity;
  }

  async claimKeys(table: ClaimTable, keys: readonly (readonly unknown[])[]): Promise<Claim<Row, DB>[]> {
    this.#claimed = table;
    let claims: Claim<Row, DB>[] = [];
    for (let tries = 1; ; tries += 1) {
      const taking = this.#claiming.claim(table, (holder) =>
        statementsOf(table).claimNamedRows(table, holder, keys),
      );
      const taken = await (claims.length === 0 ? taking : taking.catch(() => undefined));
      if (taken === undefined) return claims;
      claims = [...claims, ...this.#hand(table, taken)];
      // Refused is a row that changed meanwhile, whoever changed what of it: it may be free.
      if (taken.refused === 0 || tries === mostTries) return claims;
    }
  }

  async aside(table: ClaimTable, limit: number, tenant: unknown): Promise<AsideRow<Row>[]> {
    const rows = await this.#database.query(statementsOf(table).listAside(table, limit, tenant));
    return rows.map(({ fencepost, ...row }) => {
      const [attempts, error] = JSON.parse((fencepost ?? '=[]').slice(1)) as [number, string | null];
      return { row: withoutOurs(row) as Row, attempts, error };
    });
  }

  async retry(table: ClaimTable, keys: readonly (readonly unknown[])[]): Promise<number> {
    const [row] = await this.#database.query(statementsOf(table).retryRows(table, keys));
    return Number(row?.answer);
  }

  async moved(holder: Holder): Promise<void> {
    if (this.#claimed !== undefined) await this.#claiming.recover(this.#claimed, holder);
  }

  async forget(table: ClaimTable): Promise<void> {
    if (table.names !== undefined) await this.#forgetAll(table, true);
  }

  abandon(claim: Claim<Row, DB>): void {
    claim.lose('shutdown');
  }

  giveBack(claim: Claim<Row, DB>, after: Duration, error: unknown): Promise<void> {
    return claim.release({ after, error });
  }

  async close(): Promise<void> {
    const claims = this.#batches.list().flatMap((batch) => batch.claims);
    await Promise.allSettled([this.#forgetting, ...claims.map((claim) => claim.release())]);
  }

  /** Claims beside the table outlive their rows, and would be looked at by each claim. Not more often than after so long. */
  #forgetAfter(time: number, table: ClaimTable): void {
    const { clock } = this.#context;
    const now = clock.now();
    this.#forgot ??= now;
    if (table.names === undefined || elapsed(this.#forgot, now) < time) return;
    this.#forgot = now;
    this.#forgetting ??= this.#forgetAll(table, false)
      .catch(() => {})
      .finally(() => {
        this.#forgetting = undefined;
      });
  }

  async #forgetAll(table: ClaimTable, all: boolean): Promise<void> {
    while (Number((await this.#database.query(forgetRows(table, all)))[0]?.answer) > 0);
  }

  /** The claims of rows that one statement took. */
  #hand(table: ClaimTable, { holder, claimed, registered }: Taken): Claim<Row, DB>[] {
    if (claimed.length === 0) return [];
    const { clock } = this.#context;
    const { shape } = this.#definition;
    this.#settling ??= new Settling(this.#database, table, clock);
    const context = { definition: this.#definition, settling: this.#settling, clock };
    const batch = new ClaimedBatch<Row, DB>(context, holder, registered, this.#batches);
    return claimed.map((row, index) => {
      const key = row.key.length === 1 ? row.key[0] : row.key.join('/');
      const claim = new Claim<Row, DB>(batch, batch, `${shape.table} ${key}`, row, index);
      batch.put(claim);
      if (points.grant.hasSubscribers) points.grant.publish({ ...claim.about(), waited: 0 });
      return claim;
    });
  }
}
