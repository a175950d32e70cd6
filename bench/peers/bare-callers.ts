import { nextTick } from 'node:process';

/** Does something for all of these callers at once. */
export type Send = (callers: readonly number[]) => Promise<void>;

/**
 * Callers in loops of acquire and release whose calls are put together as far as they come while a statement is under
 * way, and nothing else: no keys, no checks, no states, no errors. How many pairs a second.
 */
export async function pairs(
  callers: readonly number[],
  seconds: number,
  acquire: Send,
  release: Send,
): Promise<number> {
  const until = performance.now() + seconds * 1_000;
  const [acquiring, releasing] = [new Line(acquire), new Line(release)];
  let busy = false;
  const work = async (): Promise<void> => {
    busy = true;
    while (acquiring.waiting || releasing.waiting) {
      await acquiring.send();
      await releasing.send();
    }
    busy = false;
  };
  const join = (line: Line, caller: number): Promise<void> => {
    if (!busy && !acquiring.waiting && !releasing.waiting) nextTick(work);
    return line.add(caller);
  };
  let done = 0;
  await Promise.all(
    callers.map(async (caller) => {
      while (performance.now() < until) {
        await join(acquiring, caller);
        await join(releasing, caller);
        done += 1;
      }
    }),
  );
  return done;
}

class Line {
  readonly #send: Send;
  #callers: number[] = [];
  #resolves: (() => void)[] = [];

  constructor(send: Send) {
    this.#send = send;
  }

  get waiting(): boolean {
    return this.#callers.length > 0;
  }

  add(caller: number): Promise<void> {
    return new Promise((resolve) => {
      this.#callers.push(caller);
      this.#resolves.push(resolve);
    });
  }

  async send(): Promise<void> {
    if (!this.waiting) return;
    const [callers, resolves] = [this.#callers, this.#resolves];
    this.#callers = [];
    this.#resolves = [];
    await this.#send(callers);
    for (const resolve of resolves) resolve();
  }
}
