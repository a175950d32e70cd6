import { type Listeners, listen } from 'fencepost/events';

/** An event as it was when it was published: a copy, without the handle, which is kept apart. */
export interface Recorded {
  readonly name: string;
  /** `start`, `asyncEnd` or `error` of what takes time; `at` of what happens at one moment. */
  readonly phase: string;
  readonly event: Readonly<Record<string, unknown>>;
  readonly handle: object | undefined;
}

export interface Recorder extends Disposable {
  readonly all: Recorded[];
  /** What was recorded under a name: without a phase only ends and moments. */
  of(name: string, phase?: string): Readonly<Record<string, unknown>>[];
  /** The names and phases in their order. */
  order(...names: string[]): string[];
  clear(): void;
}

const spans = ['acquire', 'wait', 'renew', 'release', 'guard', 'claim', 'settle', 'batch'];
const points = ['grant', 'loss', 'session'];

/** Records all that is told, until it is disposed of. */
export function record(): Recorder {
  const all: Recorded[] = [];
  const keep = (name: string, phase: string) => (told: unknown) => {
    const { handle, acquire, result, ...event } = told as Record<string, unknown>;
    all.push({ name, phase, event, handle: handle as object | undefined });
  };
  const listeners = Object.fromEntries([
    ...spans.map((name) => [
      name,
      Object.fromEntries(['start', 'error', 'asyncEnd'].map((phase) => [phase, keep(name, phase)])),
    ]),
    ...points.map((name) => [name, keep(name, 'at')]),
  ]) as Listeners;
  const listening = listen(listeners);
  return {
    all,
    of: (name, phase) =>
      all
        .filter((one) => one.name === name)
        .filter((one) => (phase === undefined ? ['asyncEnd', 'at'].includes(one.phase) : one.phase === phase))
        .map(({ event }) => event),
    order: (...names) =>
      all.filter(({ name }) => names.includes(name)).map(({ name, phase }) => `${name} ${phase}`),
    clear: () => void all.splice(0),
    [Symbol.dispose]: () => listening[Symbol.dispose](),
  };
}
