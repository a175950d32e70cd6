import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { within } from '../../core/abort.ts';
import { systemClock } from '../../core/clock.ts';
import { findBuild } from './build.ts';
import { versionOf } from './client.ts';
import { initialise } from './initialise.ts';
import { postgresArguments } from './settings.ts';
import { type Request, type Running, type Server, type ServerOptions, supervise } from './supervise.ts';

/**
 * Starts a PostgreSQL server of its own, as root or as an ordinary user, on a free port of 127.0.0.1, with its data in
 * the temporary folder.
 */
export function startEmbedded(options: ServerOptions = {}): Promise<Server> {
  return supervise('embedded', options);
}

/** The supervisor's side of {@link startEmbedded}. */
export async function runEmbedded({ options }: Request, folder: string): Promise<Running> {
  const build = findBuild(options.modules).openedTo(folder);
  const data = join(folder, 'data');
  const password = randomBytes(12).toString('hex');
  await initialise(build, data, password);
  const { postgres, port } = await launch(build.postgres, data, postgresArguments(options));
  // Before the folder goes, and also when nobody gets to stop the server.
  process.prependOnceListener('exit', () => postgres.kill('SIGQUIT'));
  const url = `postgresql://postgres:${password}@127.0.0.1:${port}/postgres`;
  return {
    url,
    description: `PostgreSQL ${await versionOf(url)}, embedded, at 127.0.0.1:${port}`,
    stop: () => shutDown(postgres),
  };
}

/** Starts `postgres` as the owner of its data and waits until it takes connections. */
async function launch(
  binary: string,
  data: string,
  flags: string[],
): Promise<{ postgres: ChildProcess; port: number }> {
  const { uid, gid } = statSync(data);
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const here = ['-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', 'ssl=off'];
    // Sockets are files too: they need a writable folder with a short name, and a killed server leaves them there.
    const postgres = spawn(binary, [...here, '-c', 'unix_socket_directories=', ...flags], {
      ...(process.getuid?.() === 0 ? { uid, gid } : {}),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const failure = await startUp(postgres);
    if (failure === undefined) return { postgres, port };
    // Between our look and the server's bind another process may have taken the port.
    if (attempt === 10 || !failure.includes('could not bind')) {
      throw new Error(`PostgreSQL did not start:\n${failure}`);
    }
  }
}

/** Resolves with nothing when the server is ready, with its log when it ended instead. */
function startUp(postgres: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    let log = '';
    postgres.stderr?.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-8_000);
      if (log.includes('database system is ready to accept connections')) resolve(undefined);
    });
    postgres.once('close', () => resolve(log));
    postgres.once('error', reject);
  });
}

/** Fast shutdown first; what does not end in time is treated more roughly. The data is thrown away anyhow. */
async function shutDown(postgres: ChildProcess): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (postgres.exitCode !== null || postgres.signalCode !== null) return;
    const ended = once(postgres, 'exit');
    postgres.kill(signal);
    await within(systemClock, 10_000, ended);
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
