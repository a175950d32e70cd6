import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** A process of its own that runs what a module exports. */
export class Worker implements AsyncDisposable {
  readonly process: ChildProcess;
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #ended: Promise<void>;
  #last = 0;

  constructor() {
    this.process = fork(fileURLToPath(new URL('worker.ts', import.meta.url)), [], {
      stdio: ['ignore', 1, 2, 'ipc'],
      // Who runs out of it fails alone, and not the machine.
      execArgv: ['--max-old-space-size=2000'],
    });
    this.process.on(
      'message',
      ({ id, answer, failed }: { id: number; answer?: unknown; failed?: string }) => {
        const call = this.#calls.get(id);
        this.#calls.delete(id);
        if (failed === undefined) call?.resolve(answer);
        else call?.reject(new Error(failed));
      },
    );
    this.#ended = new Promise((resolve) => {
      this.process.once('exit', (code, signal) => {
        for (const call of this.#calls.values())
          call.reject(new Error(`a worker ended with ${code ?? signal}`));
        resolve();
      });
    });
  }

  /** Calls a function that a module of ours exports, in that process. */
  call<Answer>(module: string, name: string, ...values: unknown[]): Promise<Answer> {
    const id = ++this.#last;
    const call = Promise.withResolvers<unknown>();
    this.#calls.set(id, call);
    this.process.send({ id, module, name, values });
    return call.promise as Promise<Answer>;
  }

  kill(): Promise<void> {
    for (const call of this.#calls.values()) call.promise.catch(() => {});
    this.process.kill('SIGKILL');
    return this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const call of this.#calls.values()) call.promise.catch(() => {});
    if (this.process.connected) this.process.disconnect();
    return this.#ended;
  }
}

/** Processes that stay, so that nobody waits for them to start. */
export class Crew implements AsyncDisposable {
  readonly workers: readonly [Worker, ...Worker[]] = [new Worker(), new Worker(), new Worker(), new Worker()];

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker[Symbol.asyncDispose]()));
  }
}
