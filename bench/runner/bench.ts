import type { Table } from '../reporting/report.ts';
import type { Crew } from './crew.ts';
import type { Servers } from './servers.ts';

/** How much is measured. */
export interface Effort {
  readonly quick: boolean;
  /** How often the sides take turns. */
  readonly rounds: number;
  /** How long a side is measured each time. */
  readonly seconds: number;
}

/** What a work is given to measure with. */
export interface Bench extends Effort {
  readonly servers: Servers;
  readonly crew: Crew;
  /** Tells people where it is. */
  log(text: string): void;
}

/** One kind of work that sides do next to each other. */
export interface Work {
  readonly name: string;
  readonly title: string;
  /** What is done and what is counted, for people. */
  readonly about: string;
  run(bench: Bench): Promise<Table[]>;
}
