import { createRequire } from 'node:module';
import type { LockPeer } from './peer.ts';

type Unlock = () => Promise<unknown>;
const { default: advisoryLock } = createRequire(import.meta.url)('advisory-lock') as {
  default: (url: string) => (key: string) => { lock(): Promise<Unlock> };
};

export const advisoryLocks: LockPeer = {
  name: 'advisory-lock',
  settings: 'advisory-lock 2.0.0: it opens a connection for each lock and closes it with the lock',
  server: 'postgres',
  most: { point: 256, why: 'opens a connection for each lock, and the server takes 400' },
  async open({ postgres }) {
    const create = advisoryLock(postgres);
    const acquire = async (key: string) => ({ release: await create(key).lock() });
    return { acquire, hold: acquire, async [Symbol.asyncDispose]() {} };
  },
};
