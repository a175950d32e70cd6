import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { compiled } from './compiled.ts';

/** A process of its own that runs one of our modules and talks in messages. */
export interface Child extends AsyncDisposable {
  readonly process: ChildProcess;
  /** The next message; throws when the process ends before it. */
  next<Message>(): Promise<Message>;
  /** The messages that came and were not asked for yet. */
  readonly waiting: readonly unknown[];
  send(message: object): void;
  signal(signal: NodeJS.Signals): void;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** What runs the module, if it is not Node alone. */
export interface Launch {
  readonly execPath?: string;
  readonly execArgv?: string[];
}

export function startChild(module: URL, argument: object, launch: Launch = {}): Child {
  const child = fork(module, [JSON.stringify(argument)], {
    execArgv: [],
    ...launch,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...compiled, ...process.env, NODE_OPTIONS: '' },
  });
  const waiting: unknown[] = [];
  const asking: { resolve(message: unknown): void; reject(error: Error): void }[] = [];
  child.on('message', (message) => {
    const first = asking.shift();
    if (first === undefined) waiting.push(message);
    else first.resolve(message);
  });
  const ended = once(child, 'exit').then(([code, signal]) => {
    const error = new Error(`the process has ended (${code ?? signal}) without the message that was awaited`);
    for (const { reject } of asking.splice(0)) reject(error);
    return { code, signal };
  });
  return {
    process: child,
    waiting,
    next: <Message>() =>
      new Promise<Message>((resolve, reject) => {
        if (waiting.length > 0) resolve(waiting.shift() as Message);
        else if (child.exitCode !== null || child.signalCode !== null)
          reject(new Error('the process has ended'));
        else asking.push({ resolve: (message) => resolve(message as Message), reject });
      }),
    send: (message) => void child.send(message),
    signal: (signal) => void child.kill(signal),
    ended,
    async [Symbol.asyncDispose]() {
      // SIGKILL also ends a process that is stopped.
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await ended;
    },
  };
}

/** What the parent gave, in a process made by `startChild`. */
export function argumentOfChild<Argument>(): Argument {
  return JSON.parse(process.argv[2] ?? '{}') as Argument;
}

export function tellParent(message: object): void {
  process.send?.(message);
}
