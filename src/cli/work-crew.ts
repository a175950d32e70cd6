import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { pause } from '../core/abort.ts';
import { type Clock, elapsed, type Moment } from '../core/clock.ts';
import { stopWord, type WorkOrder, type WorkReport } from './work-messages.ts';

/** How a crew has ended. */
export interface CrewEnd {
  /** The sum over the processes that stopped in order. */
  readonly completed: number;
  readonly failed: number;
  readonly released: number;
  /** Handlers that did not end in time: they were aborted, or ended with their process. */
  readonly aborted: number;
  /** What no process could do anything about; `usage` when it was wrong from the first moment on. */
  readonly failure: { readonly message: string; readonly usage: boolean } | undefined;
}

/** How long handlers that were aborted have to end, in milliseconds, before their process is ended. */
const lastPatience = 5_000;
/** A process that lives shorter than this is followed by the next one only after a pause. */
const shortLife = 10_000;
const longestPause = 30_000;

/** Several processes that work on the same claims. One that dies is followed by another. */
export class Crew {
  readonly #clock: Clock;
  readonly #order: WorkOrder;
  /** Of the processes, as they say. */
  #grace = 0;
  readonly #say: (text: string) => void;
  readonly #children = new Set<ChildProcess>();
  readonly #stopping = new AbortController();
  readonly #total = { completed: 0, failed: 0, released: 0, aborted: 0 };
  #failure: CrewEnd['failure'];

  constructor(clock: Clock, order: WorkOrder, say: (text: string) => void) {
    this.#clock = clock;
    this.#order = order;
    this.#say = say;
  }

  /** Ends when all processes have. */
  async run(processes: number): Promise<CrewEnd> {
    await Promise.all(Array.from({ length: processes }, () => this.#place()));
    return { ...this.#total, failure: this.#failure };
  }

  /** Claims no more, gives back what no handler has begun with, waits for the handlers. */
  stop(): void {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    for (const child of this.#children) if (child.connected) child.send(stopWord);
    // One that is frozen, or has a handler that heeds nothing.
    this.#clock.after(this.#grace + lastPatience, () => {
      this.#total.aborted += this.#children.size;
      this.kill();
    });
  }

  /** Ends all of them at once. What they have claimed is free when their holders expire. */
  kill(): void {
    this.#stopping.abort();
    for (const child of this.#children) child.kill('SIGKILL');
  }

  /** One process after the other, until it is to stop. */
  async #place(): Promise<void> {
    const { signal } = this.#stopping;
    for (let short = 0; !signal.aborted; ) {
      const begun = this.#clock.now();
      const { report, how } = await this.#child();
      if (report?.type === 'stopped') {
        for (const name of ['completed', 'failed', 'released'] as const)
          this.#total[name] += report.stats[name];
        this.#total.aborted += report.aborted;
      }
      if (report?.type === 'failed') {
        this.#failure ??= report;
        this.stop();
      }
      if (signal.aborted) return;
      short = this.#lived(begun) < shortLife ? short + 1 : 0;
      const wait = short === 0 ? 0 : Math.min(1_000 * 2 ** (short - 1), longestPause);
      this.#say(
        `a worker process ended by ${how}: its rows are free after their ttl; another one starts in ${wait / 1_000} s`,
      );
      await pause(this.#clock, wait, signal).catch(() => {});
    }
  }

  #lived(begun: Moment): number {
    return elapsed(begun, this.#clock.now());
  }

  #child(): Promise<{ report: WorkReport | undefined; how: string }> {
    const entry = new URL(`./work-process${extname(import.meta.url)}`, import.meta.url);
    const child = fork(entry, [JSON.stringify(this.#order)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#children.add(child);
    let report: WorkReport | undefined;
    child.on('message', (message: WorkReport) => {
      report = message;
      if (message.type !== 'working') return;
      this.#grace = message.grace;
      this.#say(`worker process ${child.pid} is at work`);
    });
    return new Promise((resolve) => {
      const ended = (how: string): void => {
        this.#children.delete(child);
        resolve({ report, how });
      };
      child.on('error', (error) => ended(error.message));
      child.on('exit', (code, signal) => ended(signal ?? `exit code ${code}`));
    });
  }
}
