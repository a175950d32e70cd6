import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type ContractLock, type LockFeature, type LockSubject, lockContract } from 'fencepost/testing';
import { expect, test } from 'vitest';

test('the contract runs under node:test', async () => {
  const file = fileURLToPath(new URL('./fixtures/node-test.ts', import.meta.url));
  const env = { ...process.env, NODE_OPTIONS: '' };
  const { stdout } = await promisify(execFile)(process.execPath, ['--test', '--test-reporter=tap', file], {
    env,
  });
  expect(stdout).toMatch(/^# fail 0$/m);
  expect(stdout).toMatch(/^# pass 12$/m);
  expect(stdout).toContain('excludes other processes');
});

/** Runs the contract by itself, and gives the names of the rules that were broken. */
async function broken(make: () => LockSubject, without: readonly LockFeature[]): Promise<string[]> {
  const rules: { name: string; run: () => Promise<void> }[] = [];
  lockContract({
    describe: (_, declare) => declare(),
    test: (name, run) => rules.push({ name, run }),
    make: async () => make(),
    without,
  });
  const failed: string[] = [];
  for (const { name, run } of rules) await run().catch(() => failed.push(name));
  return failed;
}

/** A lock that everybody gets. */
function lock(): ContractLock {
  let state: ContractLock['state'] = 'held';
  const release = async (): Promise<void> => {
    state = 'released';
  };
  return {
    get state() {
      return state;
    },
    signal: new AbortController().signal,
    assertHeld() {},
    release,
    [Symbol.asyncDispose]: release,
  };
}

test('what locks nothing breaks the contract', async () => {
  const locks = { acquire: async () => lock(), tryAcquire: async () => lock() };
  const subject: LockSubject = {
    one: locks,
    other: locks,
    closeOne: async () => {},
    kill: async () => {},
    freezeOne: () => ({ thaw() {}, [Symbol.dispose]() {} }),
    async [Symbol.asyncDispose]() {},
  };
  expect(await broken(() => subject, [])).toEqual([
    'excludes other processes and other callers of its own until it is released',
    'is granted to one of many that ask at once',
    'is granted to every caller in turn, to one at a time',
    'has a token that is greater than all before',
    'is released once, however often that is called, and never the one of the next holder',
    'times out with an error that says so, and holds nothing then',
    'is granted within the wait when it is released meanwhile',
    'ends a wait with the reason of its signal, and holds nothing then',
    'is free when its process closes, and the calls that wait there end with an error',
    'is lost when what holds it is gone, says so, and is free for others',
    'of a frozen process goes to others, and is lost when that goes on',
  ]);
});
