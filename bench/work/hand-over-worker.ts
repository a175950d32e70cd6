/** What a process of the hand-over does. */
import { hrtime } from 'node:process';
import { setTimeout as delay } from 'node:timers/promises';
import { bareHandOver } from '../peers/bare-hand-over.ts';
import { plainPeers } from '../peers/locks.ts';
import { notify } from '../peers/notify.ts';
import type { Held, LockClient } from '../peers/peer.ts';
import type { Places } from '../runner/servers.ts';

/** When a turn began and when it was given up, on the clock that all processes share, in milliseconds. */
export interface Turn {
  readonly began: number;
  readonly ended: number;
}

const peers = [notify, bareHandOver, ...plainPeers];
export const handOverPeers = peers.map(({ name }) => name);

const hold = 1;
let client: LockClient;
let held: Held;

const now = (): number => Number(hrtime.bigint()) / 1e6;

export async function open(name: string, places: Places): Promise<void> {
  const peer = peers.find((one) => one.name === name);
  if (peer === undefined) throw new Error(`no peer ${name}`);
  client = await peer.open(places);
  // Connections and statements are there.
  await (await client.acquire(`warm ${process.pid}`)).release();
}

export async function close(): Promise<void> {
  await client[Symbol.asyncDispose]();
}

export async function take(key: string): Promise<void> {
  held = await client.acquire(key);
}

export async function pause(milliseconds: number): Promise<void> {
  await delay(milliseconds);
}

export async function giveUp(): Promise<number> {
  const ended = now();
  await held.release();
  return ended;
}

/** So many wait, each for one turn. */
export function waitFor(crowd: number, key: string): Promise<Turn[]> {
  return Promise.all(Array.from({ length: crowd }, () => turn(key)));
}

/** So many go round; how long each wait was. Those that still last when the time is up count as they are. */
export async function goRound(crowd: number, seconds: number): Promise<number[]> {
  const until = now() + seconds * 1_000;
  const waits: number[] = [];
  await Promise.all(
    Array.from({ length: crowd }, async () => {
      while (now() < until) {
        const asked = now();
        const { began } = await turn('round');
        waits.push(Math.max(began - asked, 0.01));
      }
    }),
  );
  return waits;
}

async function turn(key: string): Promise<Turn> {
  const mine = await client.acquire(key);
  const began = now();
  await delay(hold);
  const ended = now();
  await mine.release();
  return { began, ended };
}
