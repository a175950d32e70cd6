import type { Duration } from '../core/duration.ts';
import type { Holder } from '../holder/holder.ts';
import type { ClaimTable } from '../sql/claim-table.ts';
import type { Claim } from './claim.ts';

/** A row that was set aside. */
export interface AsideRow<Row> {
  readonly row: Row;
  /** How often it was tried. */
  readonly attempts: number;
  /** What the last attempt that said so failed with. */
  readonly error: string | null;
}

/** The claims of one definition, wherever they are kept. Arguments have been checked. */
export interface RowStore<Row, DB> {
  /** At most so many, and none only when none is free; where not in order, then those that came in meanwhile later. */
  claim(table: ClaimTable, limit: number, tenant: unknown, inOrder: boolean): Promise<Claim<Row, DB>[]>;
  /** In how many milliseconds claims that are not in order see what they may have missed; Infinity when that is nothing. */
  readonly looksAgain: number;
  claimKeys(table: ClaimTable, keys: readonly (readonly unknown[])[]): Promise<Claim<Row, DB>[]>;
  aside(table: ClaimTable, limit: number, tenant: unknown): Promise<AsideRow<Row>[]>;
  retry(table: ClaimTable, keys: readonly (readonly unknown[])[]): Promise<number>;
  /** Forgets what is kept of rows that are gone. */
  forget(table: ClaimTable): Promise<void>;
  /** The server has failed over: what it has of this holder that nothing here knows of is given back. */
  moved(holder: Holder): Promise<void>;
  /** Aborts the signal of a claim that is still held and gives its row back. */
  abandon(claim: Claim<Row, DB>): void;
  /** An attempt has failed; the next one comes so much later. Ends sooner with the signal. */
  giveBack(claim: Claim<Row, DB>, after: Duration, error: unknown, signal: AbortSignal): Promise<void>;
  /** Gives everything back. */
  close(): Promise<void>;
}
