import { Chain } from '../core/chain.ts';
import { elapsed, type Moment } from '../core/clock.ts';
import type { Duration } from '../core/duration.ts';
import { type LossReason, lossTexts } from '../core/errors.ts';
import { points } from '../core/events.ts';
import type { Handle } from '../core/handle.ts';
import type { Holder } from '../holder/holder.ts';
import { type ClaimedRow, withoutOurs } from '../sql/claim.ts';
import { type Cursor, cursorAfter } from '../sql/claim-groups.ts';
import { forgetRows } from '../sql/claim-sidecar-settle.ts';
import { statementsOf } from '../sql/claim-statements.ts';
import type { ClaimTable } from '../sql/claim-table.ts';
import { Attempt } from './attempt.ts';
import { Claim, type ClaimKeeper } from './claim.ts';
import { Claiming, type Registered } from './claiming.ts';
import type { Definition } from './definition.ts';
import type { ClaimContext } from './register.ts';
import type { AsideRow, RowStore } from './row-store.ts';
import { Settling } from './settling.ts';
import type { UserDatabase } from './user-database.ts';

/** How often rows that others got just then are made up for. Each time somebody else has got on. */
const mostTries = 20;

/** Claims that live on the holder of this process: kept in columns of the table, or beside it. */
export class LivingRows<Row, DB> implements RowStore<Row, DB> {
  readonly #context: ClaimContext;
  readonly #definition: Definition;
  readonly #database: UserDatabase;
  readonly #claiming: Claiming;
  readonly #claims = new Chain<Handle>();
  #settling: Settling | undefined;
  /** The table that something was claimed of. */
  #claimed: ClaimTable | undefined;
  #forgot: Moment | undefined;
  /** Where the next claim goes on that goes round groups; undefined at the end of a round. */
  #cursor: Cursor;

  constructor(context: ClaimContext, definition: Definition, database: UserDatabase) {
    this.#context = context;
    this.#definition = definition;
    this.#database = database;
    this.#claiming = new Claiming(context, database, definition.ttl);
  }

  async claim(table: ClaimTable, limit: number, tenant: unknown): Promise<Claim<Row, DB>[]> {
    this.#claimed = table;
    await this.#forgetNowAndThen(table);
    const claims: Claim<Row, DB>[] = [];
    for (let tries = 1; ; tries += 1) {
      const left = limit - claims.length;
      const cursor = this.#cursor;
      const taking = this.#claiming.claim(table, (holder) =>
        statementsOf(table).claimRows(table, holder, left, tenant, cursor, tries === 1),
      );
      // What is claimed already is not forgotten for what could not be added to it.
      const taken = await (claims.length === 0 ? taking : taking.catch(() => undefined));
      if (taken === undefined) return claims;
      const { holder, claimed, aside, refused } = taken;
      const ended = table.perKey !== undefined && claimed.length + refused + aside < left;
      this.#cursor = ended
        ? undefined
        : cursorAfter(
            claimed.map(({ row }) => row),
            cursor,
          );
      claims.push(...this.#hand(table, holder, claimed));
      // Rows that were set aside may have stood in the way of others.
      const inVain = claims.length === 0 && aside > 0;
      const more = refused > 0 || inVain || (ended && cursor !== undefined);
      if (claims.length === limit || tries === mostTries || !more) return claims;
    }
  }

  async claimKeys(table: ClaimTable, keys: readonly (readonly unknown[])[]): Promise<Claim<Row, DB>[]> {
    this.#claimed = table;
    const { holder, claimed } = await this.#claiming.claim(table, (one) =>
      statementsOf(table).claimNamedRows(table, one, keys),
    );
    return this.#hand(table, holder, claimed);
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
    if (table.names === undefined) return;
    while (Number((await this.#database.query(forgetRows(table, true)))[0]?.answer) > 0);
  }

  abandon(claim: Claim<Row, DB>): void {
    claim.lose('shutdown');
  }

  giveBack(claim: Claim<Row, DB>, after: Duration, error: unknown): Promise<void> {
    return claim.release({ after, error });
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#claims.list().map((claim) => claim.release()));
  }

  /** Claims beside the table outlive their rows, and would be looked at by each claim. */
  async #forgetNowAndThen(table: ClaimTable): Promise<void> {
    const { clock } = this.#context;
    const now = clock.now();
    this.#forgot ??= now;
    if (table.names === undefined || elapsed(this.#forgot, now) < this.#definition.ttl) return;
    this.#forgot = now;
    await this.#database.query(forgetRows(table, false));
  }

  /** The claims of rows that one statement took. */
  #hand(table: ClaimTable, holder: Holder, rows: readonly Registered[]): Claim<Row, DB>[] {
    const { clock } = this.#context;
    const { deadline, name, shape } = this.#definition;
    this.#settling ??= new Settling(this.#database, table, clock);
    const settling = this.#settling;
    const keyOf = (row: ClaimedRow): string => `${shape.table} ${row.key.join('/')}`;
    const keeper: ClaimKeeper = {
      table: name,
      holder: holder.id,
      maxAttempts: shape.maxAttempts,
      keepsReturns: true,
      complete: (row, work) => settling.complete(keyOf(row), row, work),
      fail: (row, error) => settling.fail(keyOf(row), row, error),
      giveBack: (row, way) => settling.giveBack(row, way, () => holder.live),
      ended: (row, reason, place) => {
        // Lost for the process, and not by it: the holder lives on, and the row with it.
        if (reason === undefined || !holder.live) place?.leave();
        else void this.#expel(settling, holder, row, reason).finally(() => place?.leave());
      },
    };
    return rows.map(({ row, place }) => {
      const tenure = deadline === Infinity ? holder : new Attempt(holder, clock, deadline);
      const claim = new Claim<Row, DB>(keeper, tenure, keyOf(row), row, place);
      claim.enter(this.#claims);
      if (points.grant.hasSubscribers) points.grant.publish({ ...claim.about(), waited: 0 });
      return claim;
    });
  }

  async #expel(settling: Settling, holder: Holder, row: ClaimedRow, reason: LossReason): Promise<void> {
    const { maxAttempts } = this.#definition.shape;
    const unused = reason === 'shutdown';
    const after = !unused && row.attempt >= maxAttempts ? undefined : 0;
    const error = unused ? undefined : lossTexts[reason];
    await settling.giveBack(row, { after, error, unused }, () => holder.live).catch(() => {});
  }
}
