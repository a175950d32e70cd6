import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Launch } from './child.ts';
import type { OwnServer } from './postmaster.ts';
import { startProxy } from './proxy.ts';

const run = promisify(execFile);

/** The way from a client process to its server, which a test takes away without a word to either side. */
export interface CutLink extends AsyncDisposable {
  /** For people: how it is cut. */
  readonly how: string;
  readonly url: string;
  /** What the client process has to be started with, to be at the other end. */
  readonly launch: Launch;
  cut(): Promise<void>;
}

let made = 0;

/** In a network namespace, where no packet arrives any more; where that is not allowed, through a proxy that is silent. */
export async function startCutLink(server: OwnServer): Promise<CutLink> {
  try {
    return await startNamespace(server);
  } catch {
    return await startSilentProxy(server);
  }
}

/** Takes a server that listens on all addresses. */
async function startNamespace(server: OwnServer): Promise<CutLink> {
  made += 1;
  const name = `fencepost-${process.pid}-${made}`;
  const device = `fp${process.pid}-${made}`.slice(0, 13);
  const net = `10.${100 + (process.pid % 100)}.${(process.pid >> 8) % 256}.${4 * (made % 60)}`.split('.');
  const [here, there] = [1, 2].map((host) => [...net.slice(0, 3), Number(net[3]) + host].join('.'));
  const inside = (...command: string[]): Promise<unknown> => run('ip', ['netns', 'exec', name, ...command]);
  await run('ip', ['netns', 'add', name]);
  const remove = async (): Promise<void> => void (await run('ip', ['netns', 'del', name]));
  try {
    await run('ip', [
      'link',
      'add',
      `${device}a`,
      'type',
      'veth',
      'peer',
      'name',
      `${device}b`,
      'netns',
      name,
    ]);
    await run('ip', ['addr', 'add', `${here}/30`, 'dev', `${device}a`]);
    await run('ip', ['link', 'set', `${device}a`, 'up']);
    await inside('ip', 'addr', 'add', `${there}/30`, 'dev', `${device}b`);
    await inside('ip', 'link', 'set', `${device}b`, 'up');
    // Whether it can be cut has to be known before anybody relies on it.
    await inside('iptables', '-L', '-n');
    await server.admit(`${there}/32`);
  } catch (error) {
    await remove();
    throw error;
  }
  const url = new URL(server.url);
  url.hostname = here ?? '';
  return {
    how: 'cut in a network namespace',
    url: url.href,
    launch: { execPath: 'ip', execArgv: ['netns', 'exec', name, process.execPath] },
    async cut() {
      for (const chain of ['INPUT', 'OUTPUT']) await inside('iptables', '-I', chain, '-j', 'DROP');
    },
    [Symbol.asyncDispose]: remove,
  };
}

async function startSilentProxy(server: OwnServer): Promise<CutLink> {
  const proxy = await startProxy(server.url);
  return {
    how: 'cut by a proxy that falls silent',
    url: proxy.url,
    launch: {},
    cut: async () => proxy.freeze(),
    [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose](),
  };
}
