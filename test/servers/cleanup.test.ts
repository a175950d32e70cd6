import { once } from 'node:events';
import { readdirSync, rmSync, watch } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { startEmbedded } from './embedded.ts';
import { closedClone } from './fixtures/closed-clone.ts';
import { program } from './fixtures/program.ts';
import { remains, settled, type Whereabouts, whereabouts } from './fixtures/whereabouts.ts';

const owner = fileURLToPath(new URL('./fixtures/owner.ts', import.meta.url));
const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
const endless = fileURLToPath(new URL('./fixtures/vitest.config.ts', import.meta.url));
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'] as const;

describe.concurrent('nothing of a server is left', { timeout: 60_000 }, () => {
  test('as soon as stop() has resolved', async () => {
    using run = program(owner, 'stop');
    const server = await run.said<Whereabouts>();
    await run.ended;
    expect(await remains(server)).toEqual([]);
    expect(readdirSync(run.temporary)).toEqual([]);
  });

  test('when its owner ends without a word, which the server does not keep it from', async () => {
    using run = program(owner, 'forget');
    const server = await run.said<Whereabouts>();
    expect(await run.ended).toEqual([0, null]);
    expect(await settled(() => remains(server))).toEqual([]);
    expect(readdirSync(run.temporary)).toEqual([]);
  });

  test.for(signals)('when %s ends the process group of its owner', async (signal) => {
    using run = program(owner, 'wait');
    const server = await run.said<Whereabouts>();
    run.signal(signal);
    expect(await run.ended).toEqual([null, signal]);
    expect(await settled(() => remains(server))).toEqual([]);
    expect(readdirSync(run.temporary)).toEqual([]);
  });

  test('when somebody ends its supervisor', async () => {
    using run = program(owner, 'wait');
    const server = await run.said<Whereabouts>();
    process.kill(server.supervisor, 'SIGTERM');
    expect(await settled(() => remains(server))).toEqual([]);
    expect(readdirSync(run.temporary)).toEqual([]);
  });

  test('when it cannot start, and its owner learns why', async () => {
    using run = program(owner, 'fail');
    await expect(run.said()).rejects.toThrow('unrecognized configuration parameter "no_such_setting"');
    expect(readdirSync(run.temporary)).toEqual([]);
  });

  test('when setting it up fails in a way that nobody foresaw', async () => {
    using clone = closedClone();
    rmSync(clone.initdb);
    using run = program(clone.owner, 'stop');
    await expect(run.said()).rejects.toThrow('ENOENT');
    expect(readdirSync(run.temporary)).toEqual([]);
  });

  test('when its owner is killed while the server is being set up', async () => {
    using run = program(owner, 'wait');
    const watcher = watch(run.temporary);
    await once(watcher, 'change');
    watcher.close();
    expect(readdirSync(run.temporary)).toHaveLength(1);
    run.signal('SIGKILL');
    await run.ended;
    expect(await settled(async () => readdirSync(run.temporary))).toEqual([]);
  });

  test.for(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('when %s interrupts a test run', async (signal) => {
    using run = program(vitest, 'run', '--config', endless);
    const server = await run.said<Whereabouts>();
    run.signal(signal);
    await run.ended;
    expect(await settled(() => remains(server))).toEqual([]);
  });
});

test('servers that start at once are different servers', async () => {
  const servers = await Promise.all([1, 2, 3].map(() => startEmbedded({ fsync: false })));
  const found = await Promise.all(servers.map((server) => whereabouts(server.url)));
  expect(new Set(found.map(({ folder }) => folder)).size).toBe(3);
  await Promise.all(servers.map((server) => server.stop()));
  expect((await Promise.all(found.map(remains))).flat()).toEqual([]);
});
