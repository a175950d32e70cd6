import cliProgress from 'cli-progress';

/** Tells how far a long run is: on a terminal as a bar, elsewhere as a line now and then. On stderr, beside what it prints. */
export class Progress implements Disposable {
  readonly #bar: cliProgress.SingleBar;

  constructor(unit: string, total: number) {
    const format = `{bar} {value} of {total} ${unit}, {duration_formatted}, {eta_formatted} left`;
    this.#bar = new cliProgress.SingleBar(
      { format, etaBuffer: 50, noTTYOutput: true, notTTYSchedule: 30_000, stopOnComplete: false },
      cliProgress.Presets.shades_classic,
    );
    this.#bar.start(total, 0);
  }

  at(done: number): void {
    this.#bar.update(done);
  }

  [Symbol.dispose](): void {
    this.#bar.stop();
  }
}
