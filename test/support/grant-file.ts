import { readFile } from 'node:fs/promises';
import type { Acquisition } from '../lab/history.ts';

/** Milliseconds of the machine's monotonic clock, which all processes share. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** A grant as a line, which a process appends to its file: what it had not written when it was killed, nobody knows. */
export function grantLine({ key, slot, token, client, asked, told, ended }: Acquisition): string {
  return [key, slot, token, client, asked, told, ended ?? ''].join(',');
}

export async function grantsIn(file: string): Promise<Acquisition[]> {
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [key = '', slot, token = '', client = '', asked, told, ended] = line.split(',');
    return {
      key,
      slot: Number(slot),
      token: BigInt(token),
      client,
      asked: Number(asked),
      told: Number(told),
      ended: ended === '' ? undefined : Number(ended),
    };
  });
}
