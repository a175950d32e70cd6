import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { migrate } from '../../src/migrate.ts';
import type { ServerOptions } from '../../src/testing/servers/supervise.ts';
import { startEmbedded } from '../servers/embedded.ts';
import { Progress } from './progress.ts';

/** What a race found: figures to print, and what must not have happened. */
export interface Findings {
  readonly figures: Readonly<Record<string, number | string>>;
  /** Empty when the promise held. */
  readonly violations: readonly string[];
}

/**
 * Makes a race runnable by `node`, in its long version, against a server of its own with a disk that is waited for:
 * prints what it found and exits with 1 when a promise was broken. Options can be given as `--name=value`. How far it is
 * it tells by `at`, as a part of the option `rounds`.
 */
export async function script<Options extends Record<string, number | string>>(
  { url }: ImportMeta,
  defaults: Options,
  run: (serverUrl: string, options: Options, at: (done: number) => void) => Promise<Findings>,
  serverOptions: ServerOptions = {},
): Promise<void> {
  if (process.argv[1] !== fileURLToPath(url)) return;
  const names = Object.keys(defaults);
  const { values } = parseArgs({
    options: Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
  });
  const given = Object.entries(values).map(([name, value]) => [
    name,
    typeof defaults[name] === 'number' ? Number(value) : value,
  ]);
  const chosen = { ...defaults, ...Object.fromEntries(given) } as Options;
  await using server = await startEmbedded(serverOptions);
  await migrate({ connection: server.url });
  console.log(`${server.description}; ${JSON.stringify(chosen)}`);
  const started = performance.now();
  let progress: Progress | undefined;
  const at = (done: number): void => {
    progress ??= new Progress('rounds', Number(chosen.rounds));
    progress.at(done);
  };
  const { figures, violations } = await run(server.url, chosen, at);
  progress?.[Symbol.dispose]();
  const seconds = (performance.now() - started) / 1_000;
  for (const [name, value] of Object.entries({ ...figures, seconds: seconds.toFixed(1) })) {
    console.log(`${name.padEnd(28)} ${value}`);
  }
  for (const violation of violations.slice(0, 20)) console.log(`VIOLATION: ${violation}`);
  console.log(violations.length === 0 ? 'held' : `${violations.length} violations`);
  process.exitCode = violations.length === 0 ? 0 : 1;
}
