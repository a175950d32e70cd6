import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { systemClock } from '../core/clock.ts';

/** Between SIGTERM and SIGKILL, in milliseconds: the command has ended within a second of the loss. */
const killAfter = 500;
/** The command could not be started: as flock(1) has it. */
const notStarted = 69;

const passedOn = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGQUIT', 'SIGCONT'] as const;
/** A terminal sends these to all processes of its group, and so to the command as well. */
const fromTerminal = new Set<NodeJS.Signals>(['SIGINT', 'SIGQUIT']);

/** Runs a command until it ends, and answers its exit code, or `'lost'` when it was ended because the lock was lost. */
export function runChild(
  [command, ...given]: [string, ...string[]],
  environment: Record<string, string>,
  lock: AbortSignal,
): Promise<number | 'lost'> {
  const terminal = process.stdin.isTTY === true;
  // Without a terminal it has a process group of its own, so that a loss ends what it has started, too.
  const child = spawn(command, given, {
    stdio: 'inherit',
    env: { ...process.env, ...environment },
    detached: !terminal,
  });
  const passOn = (signal: NodeJS.Signals): void => {
    if (!(terminal && fromTerminal.has(signal))) child.kill(signal);
  };
  const end = (): void => {
    send(child, 'SIGTERM', !terminal);
    systemClock.after(killAfter, () => send(child, 'SIGKILL', !terminal));
  };
  for (const signal of passedOn) process.on(signal, passOn);
  if (lock.aborted) end();
  else lock.addEventListener('abort', end, { once: true });
  return new Promise<number | 'lost'>((resolve) => {
    child.on('error', (error) => {
      console.error(`error: ${error.message}`);
      resolve(notStarted);
    });
    child.on('exit', (code, signal) => {
      if (lock.aborted) resolve('lost');
      else resolve(signal === null ? Number(code) : 128 + constants.signals[signal]);
    });
  }).finally(() => {
    for (const signal of passedOn) process.off(signal, passOn);
    lock.removeEventListener('abort', end);
  });
}

function send(child: ChildProcess, signal: NodeJS.Signals, group: boolean): void {
  if (child.pid === undefined) return;
  try {
    process.kill(group ? -child.pid : child.pid, signal);
  } catch {
    // it has ended
  }
}
