import type { Claimant, ClaimedKey } from './claim.ts';
import type { Asked } from './claim-asked.ts';
import * as columns from './claim-columns.ts';
import type { Return } from './claim-columns-settle.ts';
import * as columnsSettle from './claim-columns-settle.ts';
import * as sidecar from './claim-sidecar.ts';
import * as sidecarSettle from './claim-sidecar-settle.ts';
import type { ClaimTable } from './claim-table.ts';
import type { Statement } from './statement.ts';

type Keys = readonly (readonly unknown[])[];

/** What there is to say to a table whose claims live on a holder, wherever they are kept. */
export interface ClaimStatements {
  claimRows(table: ClaimTable, claimant: Claimant, asked: Asked): Statement;
  claimNamedRows(table: ClaimTable, claimant: Claimant, keys: Keys): Statement;
  /** Either all of them are in batches, or none. A `pinned` one was locked before, in the same transaction. */
  completeRows(table: ClaimTable, claims: readonly ClaimedKey[], pinned?: boolean): Statement;
  /** Either all of them are in batches, or none. */
  returnRows(table: ClaimTable, claims: readonly (ClaimedKey & Return)[]): Statement;
  pinRow(table: ClaimTable, claim: ClaimedKey): Statement;
  freeUnknown(table: ClaimTable, holder: string, known: readonly ClaimedKey[]): Statement;
  listAside(table: ClaimTable, limit: number, tenant: unknown): Statement;
  retryRows(table: ClaimTable, keys: Keys): Statement;
}

export function statementsOf({ names }: ClaimTable): ClaimStatements {
  return names === undefined ? { ...columns, ...columnsSettle } : { ...sidecar, ...sidecarSettle };
}
