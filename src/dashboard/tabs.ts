import type { ServerResponse } from 'node:http';
import { pause } from '../core/abort.ts';
import type { Clock } from '../core/clock.ts';
import type { Hello, Snapshot, Trouble } from './snapshot.ts';
import type { Survey } from './survey.ts';

/** Streams that are served at one time. */
const mostTabs = 64;

/** The pages that are open. They share one look each time; nobody looks while none is open. */
export class Tabs {
  readonly #survey: Survey;
  readonly #clock: Clock;
  readonly #refresh: number;
  readonly #open = new Set<ServerResponse>();
  readonly #closed = new AbortController();
  #looking: Promise<void> | undefined;
  #latest: Snapshot | Trouble | undefined;

  constructor(survey: Survey, clock: Clock, refresh: number) {
    this.#survey = survey;
    this.#clock = clock;
    this.#refresh = refresh;
  }

  /** False when there are too many. */
  add(response: ServerResponse, hello: Omit<Hello, 'history'>): boolean {
    if (this.#open.size >= mostTabs || this.#closed.signal.aborted) return false;
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    this.#open.add(response);
    response.once('close', () => this.#open.delete(response));
    const greeting: Hello = { ...hello, history: this.#survey.history };
    response.write(eventOf('hello', greeting));
    if (this.#looking !== undefined && this.#latest !== undefined) response.write(messageOf(this.#latest));
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return true;
  }

  async close(): Promise<void> {
    this.#closed.abort();
    for (const response of this.#open) response.end();
    await this.#looking;
  }

  /** Ends when nobody is left. Somebody may come while the connection is being closed. */
  async #look(): Promise<void> {
    const { signal } = this.#closed;
    do {
      while (this.#open.size > 0 && !signal.aborted) {
        this.#latest = await this.#survey.look();
        const message = messageOf(this.#latest);
        // A page that has not read the one before gets the next one.
        for (const response of this.#open) if (!response.writableNeedDrain) response.write(message);
        await pause(this.#clock, this.#refresh, signal).catch(() => {});
      }
      await this.#survey.rest();
    } while (this.#open.size > 0 && !signal.aborted);
  }
}

function messageOf(found: Snapshot | Trouble): string {
  return eventOf('failure' in found ? 'trouble' : 'snapshot', found);
}

/** JSON has no line breaks of its own. */
function eventOf(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
