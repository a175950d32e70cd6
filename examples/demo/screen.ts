import { clearLine, cursorTo } from 'node:readline';
import { styleText } from 'node:util';

export type Style = Parameters<typeof styleText>[0];

/** A terminal, or what stands in for one: lines, and below them one line that says how far things are. */
export class Screen {
  readonly #stream: NodeJS.WriteStream;
  /** The last line can be drawn anew. */
  readonly #redraws: boolean;
  #status = '';
  #statusAt = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.#redraws = stream.isTTY && process.env.TERM !== 'dumb';
  }

  /** Coloured where the terminal can and NO_COLOR does not forbid it. */
  paint(style: Style, text: string): string {
    return styleText(style, text, { stream: this.#stream });
  }

  line(text = ''): void {
    if (!this.#redraws) {
      this.#stream.write(`${text}\n`);
      return;
    }
    this.#clear();
    this.#stream.write(`${text}\n`);
    this.#draw();
  }

  /** Redraws the last line of a terminal; elsewhere it writes a line every five seconds. */
  status(text: string): void {
    this.#status = text;
    if (this.#redraws) {
      this.#clear();
      this.#draw();
    } else if (performance.now() - this.#statusAt >= 5_000) {
      this.#statusAt = performance.now();
      this.line(text.trimEnd());
    }
  }

  endStatus(): void {
    if (this.#redraws) this.#clear();
    this.#status = '';
  }

  #clear(): void {
    cursorTo(this.#stream, 0);
    clearLine(this.#stream, 0);
  }

  #draw(): void {
    const width = this.#stream.columns || 80;
    this.#stream.write(this.paint('inverse', this.#status.slice(0, width - 1)));
  }
}

export function plural(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}
