import type { WorkStats } from '../claim/tally.ts';
import type { WorkOptions } from '../claim/work-options.ts';

/** What a process is made with. */
export interface WorkOrder {
  readonly module: string;
  readonly options: WorkOptions;
}

/** What it tells its parent. */
export type WorkReport =
  | { readonly type: 'working'; readonly grace: number }
  | { readonly type: 'stopped'; readonly stats: WorkStats; readonly aborted: number }
  /** `usage`: nothing that trying again could mend, from the first moment on. */
  | { readonly type: 'failed'; readonly message: string; readonly usage: boolean };

/** The only word of the parent. Without a parent it stops as well. */
export const stopWord = 'stop';
