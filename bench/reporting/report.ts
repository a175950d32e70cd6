/** What was measured in each round. */
export type Figures = readonly number[];

/** One side of a table, a figure for each point. */
export interface SideRow {
  readonly name: string;
  /** The bare statements: what can be reached at most. */
  readonly limit?: boolean;
  readonly note?: string;
  /** Empty where a side cannot do it. */
  readonly figures: readonly Figures[];
}

export interface Table {
  /** One word, for charts and checks. */
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly better: 'more' | 'less';
  /** What the points are. */
  readonly across: string;
  readonly points: readonly string[];
  readonly sides: readonly SideRow[];
}

export interface WorkReport {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  /** What measured it, when, and how long that took. */
  readonly command: string;
  readonly at: string;
  readonly took: number;
  readonly tables: readonly Table[];
  /** Why there are no tables. */
  readonly failed?: string;
}

export interface Report {
  readonly command: string;
  readonly at: string;
  readonly machine: string;
  readonly versions: readonly string[];
  /** How each peer is set up. */
  readonly settings: Readonly<Record<string, string>>;
  readonly works: readonly WorkReport[];
}
