import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Order, Report } from './messages.ts';

const workerFile = fileURLToPath(new URL('./worker.ts', import.meta.url));

export interface CrewOptions {
  readonly connection: string;
  readonly tenants: readonly string[];
  readonly guarded: boolean;
  readonly hear: (worker: number, report: Report) => void;
}

/** The worker processes of one run, by number. A replacement has the number of the one before it. */
export class Crew implements AsyncDisposable {
  readonly #options: CrewOptions;
  readonly #workers = new Map<number, ChildProcess>();
  readonly #starting: Promise<void>[] = [];
  readonly #failed = new AbortController();

  constructor(options: CrewOptions) {
    this.#options = options;
    // Whatever ends this process: a frozen worker would never notice that it is alone.
    process.once('exit', this.#killAll);
  }

  /** Aborts when a worker ends that nobody killed. */
  get failed(): AbortSignal {
    return this.#failed.signal;
  }

  /** Ends when the worker is ready to work. */
  start(worker: number): Promise<void> {
    const { connection, tenants, guarded, hear } = this.#options;
    const child = fork(workerFile, [], {
      env: {
        ...process.env,
        DATABASE_URL: connection,
        WORKER: String(worker),
        TENANTS: tenants.join(),
        GUARD: guarded ? 'on' : 'off',
      },
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#workers.set(worker, child);
    const ready = new Promise<void>((resolve) => {
      child.on('message', (report: Report) => {
        if (report.kind === 'ready') resolve();
        hear(worker, report);
      });
      child.once('exit', (code, signal) => {
        resolve();
        const ownEnd = code === 0 || signal === 'SIGKILL';
        if (!ownEnd) this.#failed.abort(new Error(`worker ${worker} ended with ${signal ?? `code ${code}`}`));
      });
      child.once('error', (cause) => this.#failed.abort(new Error(`worker ${worker} failed`, { cause })));
    });
    this.#starting.push(ready);
    return ready;
  }

  kill(worker: number): void {
    this.#workers.get(worker)?.kill('SIGKILL');
  }

  freeze(worker: number): void {
    this.#workers.get(worker)?.kill('SIGSTOP');
  }

  wake(worker: number): void {
    this.#workers.get(worker)?.kill('SIGCONT');
  }

  /** Lets every worker end what it is at; ends when all have. */
  async finish(): Promise<void> {
    await Promise.all(this.#starting);
    const order: Order = 'finish';
    for (const child of this.#running()) if (child.connected) child.send(order);
    const late = delay(60_000, 'late', { ref: false });
    if ((await Promise.race([this.#ended(), late])) === 'late') {
      throw new Error('the workers did not end within a minute');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#killAll();
    await this.#ended();
    process.off('exit', this.#killAll);
  }

  #running(): ChildProcess[] {
    return [...this.#workers.values()].filter(
      (child) => child.exitCode === null && child.signalCode === null,
    );
  }

  async #ended(): Promise<void> {
    await Promise.all(this.#running().map((child) => once(child, 'exit')));
  }

  readonly #killAll = (): void => {
    for (const child of this.#running()) child.kill('SIGKILL');
  };
}
