import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';

/** Asks at the terminal. Only a yes is a yes: the end of the input (Ctrl-C, Ctrl-D) is none. */
export async function confirm(
  question: string,
  input: NodeJS.ReadableStream = process.stdin,
  output: NodeJS.WritableStream = process.stderr,
): Promise<boolean> {
  const prompt = createInterface({ input, output });
  const ended = new AbortController();
  prompt.once('close', () => ended.abort());
  const answer = await prompt.question(`${question} [y/N] `, { signal: ended.signal }).catch(() => '');
  prompt.close();
  return /^\s*y(es)?\s*$/i.test(answer);
}

/** Says what will be done, and asks unless `yes`. When the answer is no, nothing was changed and the exit code is 1. */
export async function allowed(
  command: Command,
  what: readonly string[],
  yes: true | undefined,
): Promise<boolean> {
  if (yes) return true;
  for (const line of what) console.error(line);
  if (!process.stdin.isTTY) command.error('error: there is no terminal to ask at: --yes is needed');
  if (await confirm('Go on?')) return true;
  console.error('Nothing was changed.');
  process.exitCode = 1;
  return false;
}
