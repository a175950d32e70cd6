import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Report } from './worker.ts';

const workerFile = fileURLToPath(new URL('./worker.ts', import.meta.url));

/** A worker process, as its parent sees it. */
export interface Worker {
  readonly number: number;
  readonly process: ChildProcess;
  next<Type extends Report['type']>(type: Type): Promise<Extract<Report, { type: Type }>>;
}

export function startWorker(url: string, number: number, pausing: boolean): Worker {
  const child = fork(workerFile, [url, String(number), pausing ? 'pauses' : '']);
  const reports: Report[] = [];
  child.on('message', (report: Report) => reports.push(report));
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`worker ${number} has ended by ${signal ?? code}`);
  });
  ended.catch(() => {});
  return {
    number,
    process: child,
    next: async <Type extends Report['type']>(type: Type) => {
      for (;;) {
        const report = reports.find((one) => one.type === type);
        if (report !== undefined) return report as Extract<Report, { type: Type }>;
        await Promise.race([once(child, 'message'), ended]);
      }
    },
  };
}
