import { appendFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { FencepostError } from '../../src/index.ts';
import type { Acquisition } from '../lab/history.ts';
import { grantLine } from './grant-file.ts';

export interface Turns {
  readonly callers: number;
  /** Gets a line for each grant. What a killed process had not written yet, nobody knows. */
  readonly file: string;
  /** Lines that are written at a time. */
  readonly portion: number;
  /** A try, which tells what was granted in it. What it rejects with and is retriable counts as a failure. */
  turn(tell: (grant: Acquisition) => void): Promise<void>;
  failed(): void;
}

/** Callers of a process that was started by a race take turns until the race has said that it is over. */
export async function takeTurns({ callers, file, portion, turn, failed }: Turns): Promise<void> {
  let over = false;
  const end = (): never => process.exit(1);
  // Without the one that counts nothing is left to do.
  process.on('disconnect', end);
  process.once('message', () => {
    over = true;
  });
  const lines: string[] = [];
  const call = async (): Promise<void> => {
    while (!over) {
      try {
        await turn((grant) => lines.push(grantLine(grant)));
      } catch (error) {
        if (!(error instanceof FencepostError) || !error.retriable) throw error;
        failed();
        await delay(20);
      }
      if (lines.length >= portion) appendFileSync(file, `${lines.splice(0).join('\n')}\n`);
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  if (lines.length > 0) appendFileSync(file, `${lines.join('\n')}\n`);
  process.off('disconnect', end);
}
