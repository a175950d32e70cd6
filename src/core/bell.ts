import type { Clock } from './clock.ts';

const nobody = (): void => {};

/** Wakes one who waits. A ring that comes while nobody waits is kept for the next who does. */
export class Bell {
  #rung = false;
  #wake = nobody;

  ring(): void {
    this.#rung = true;
    this.#wake();
  }

  /** Forgets the rings so far: what they told of is looked at now. */
  reset(): void {
    this.#rung = false;
  }

  /** Ends with a ring, which is used up by that, or after so many milliseconds, or Infinity; rejects with the signal's reason when it aborts. */
  heard(clock: Clock, milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.#rung) {
        this.#rung = false;
        return resolve();
      }
      let cancel = (): void => {};
      const finish = (settle: () => void): void => {
        cancel();
        signal?.removeEventListener('abort', abort);
        this.#wake = nobody;
        this.#rung = false;
        settle();
      };
      const abort = (): void => finish(() => reject(signal?.reason));
      if (milliseconds !== Infinity) cancel = clock.after(milliseconds, () => finish(resolve));
      this.#wake = () => finish(resolve);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }
}
