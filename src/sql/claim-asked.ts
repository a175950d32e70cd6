/** Where the last claim ended in its round of the groups: the values of their columns, as the server wrote them. */
export type Cursor = string | undefined;

/**
 * Where in the order a claim ended: the values of its last row there, as text. What comes behind it can be looked at
 * without what comes before: rows in flight, and rows that are done and cannot be vacuumed yet.
 */
export interface Position {
  readonly values: readonly string[];
  /** Of that claim. What others claimed later may lie behind it, too. */
  readonly token: bigint;
}

/** How many rows a claim asks for, and where it looks for them. */
export interface Asked {
  readonly limit: number;
  readonly tenant?: unknown;
  readonly cursor?: Cursor;
  /** Looks at rows alone that nobody ever had, where that is quicker; it may find that there are others to look at. */
  readonly fresh?: boolean;
  /** Does not find that: a moment ago none of the others was wanted. */
  readonly alone?: boolean;
  /**
   * Behind which position it looks for rows that nobody has; null is the start. Then the answer says where it ended.
   * Undefined for a claim that is no part of a walk.
   */
  readonly from?: Position | null | undefined;
}
