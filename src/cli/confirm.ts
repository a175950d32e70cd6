import { createInterface } from 'node:readline/promises';

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
