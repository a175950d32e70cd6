import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Fencepost } from 'fencepost';
import { afterAll, expect, test, vi } from 'vitest';
import { compiled } from '../support/compiled.ts';
import { createDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

vi.setConfig({ testTimeout: 30_000 });

const entry = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const started: ChildProcess[] = [];
const database = await createDatabase();
afterAll(async () => {
  for (const child of started) child.kill('SIGKILL');
  await database[Symbol.asyncDispose]();
});

function run(given: string[], url = database.url) {
  const child = spawn(process.execPath, [entry, 'run', ...given], {
    env: { PATH: process.env.PATH, ...compiled, DATABASE_URL: url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.push(child);
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
  });
  const ended = Promise.all([text(child.stderr), once(child, 'exit')]).then(([stderr, [code]]) => ({
    code,
    stdout: output,
    stderr,
  }));
  return { child, ended, says: (what: string) => until(what, () => output.includes(what)) };
}

const exits = { code: 0, stdout: '', stderr: '' };

test.concurrent('the exit code is that of the command, or 128 and the signal that ended it', async () => {
  const codes = ['exit 0', 'exit 7', 'kill -KILL $$'].map(
    (script) => run(['code', '--', 'sh', '-c', script]).ended,
  );
  expect((await Promise.all(codes)).map(({ code }) => code)).toEqual([0, 7, 137]);
});

test.concurrent('the command has key and token in its environment', async () => {
  const print = ['--', 'sh', '-c', 'echo $FENCEPOST_KEY $FENCEPOST_TOKEN $FENCEPOST_SLOT'];
  const { stdout } = await run(['env', '--lease', '--slots', '2', ...print]).ended;
  const [lease] = await database.query(`select token, slot from fencepost.leases where name = 'env'`);
  expect(stdout).toBe(`env ${lease?.token} ${lease?.slot}\n`);
  expect((await run(['["env", 1]', ...print]).ended).stdout).toBe('["env", 1]\n');
});

test.concurrent.each([[[]], [['--lease']]])(
  'who finds it held ends with 1, or the code of -E; who waits gets it: %j',
  async (kind) => {
    await using fencepost = new Fencepost({ connection: database.url });
    const key = `busy${kind}`;
    const lock =
      kind.length === 0 ? await fencepost.advisory.acquire(key) : await fencepost.leases.acquire(key);
    const says = `error: ${key} is held by somebody else\n`;
    expect(await run([key, ...kind, '-n', '--', 'true']).ended).toEqual({ ...exits, code: 1, stderr: says });
    const other = await run([key, ...kind, '--wait', '50ms', '-E', '9', '--', 'true']).ended;
    expect(other).toEqual({ ...exits, code: 9, stderr: says });
    const waiting = run([key, ...kind, '--', 'echo', 'mine']);
    await lock.release();
    expect(await waiting.ended).toEqual({ ...exits, stdout: 'mine\n' });
  },
);

test.concurrent('signals are passed on; one that comes while it waits ends it', async () => {
  const script = `trap 'echo got it; exit 3' TERM; trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done`;
  const { child, ended, says } = run(['signals', '--', 'sh', '-c', script]);
  await says('ready');
  const waiting = run(['signals', '--', 'true']);
  await using fencepost = new Fencepost({ connection: database.url });
  await until('it waits', async () => {
    const locks = await fencepost.inspect.locks({ keys: ['signals'] });
    return locks.some(({ key, granted }) => key === 'signals' && !granted);
  });
  waiting.child.kill('SIGINT');
  expect(await waiting.ended).toEqual({ ...exits, code: 130 });
  child.kill('SIGHUP');
  await says('hup');
  child.kill('SIGTERM');
  await says('got it');
  expect((await ended).code).toBe(3);
});

test.concurrent('a lease that is revoked ends the command and what that has started, though it heeds no SIGTERM: 75', async () => {
  const script = `trap '' TERM; (trap '' TERM; while :; do sleep 0.05; done) & echo $! $$; wait; while :; do sleep 1; done`;
  const { ended, says, child } = run(['taken', '--lease', '--ttl', '2s', '--', 'sh', '-c', script]);
  let pids: number[] = [];
  child.stdout?.on('data', (chunk) => {
    pids = String(chunk).trim().split(' ').map(Number);
  });
  await says('\n');
  await using fencepost = new Fencepost({ connection: database.url });
  await fencepost.leases.revoke('taken');
  const { code, stderr } = await ended;
  expect({ code, stderr }).toEqual({
    code: 75,
    stderr: expect.stringMatching(/^error: .*revoked.*: the command was ended\n$/),
  });
  expect(pids).toHaveLength(2);
  for (const pid of pids) await until('it is gone', () => !alive(pid));
});

test.concurrent('a session lock whose session is ended ends the command: 75', async () => {
  const { ended, says } = run(['cut', '--', 'sh', '-c', 'echo ready; sleep 60']);
  await says('ready');
  await using fencepost = new Fencepost({ connection: database.url });
  const holder = (await fencepost.inspect.locks({ keys: ['cut'] })).find(({ key }) => key === 'cut');
  await database.query('select pg_terminate_backend($1)', [holder?.pid]);
  expect((await ended).code).toBe(75);
});

test.concurrent.each([
  [['x', '--wiat', '1s', '--', 'true'], 64, "error: unknown option '--wiat'"],
  [['x'], 64, "error: missing required argument 'command'"],
  [['x', '--ttl', '1s', '--', 'true'], 64, 'error: --ttl: expected nothing without --lease'],
  [['x', '--wait', 'soon', '--', 'true'], 64, 'error: --wait: expected'],
  [['[x', '--', 'true'], 64, 'error: key: expected a text, or a JSON array'],
  [['x', '--', 'no-such-command-anywhere'], 69, 'error: spawn no-such-command-anywhere ENOENT'],
  [
    ['x', '--connection', 'postgresql://nobody@127.0.0.1:1/none', '--', 'true'],
    69,
    'error: could not connect',
  ],
])('what goes wrong: %j ends with %d', async (given, code, says) => {
  const outcome = await run(given).ended;
  expect(outcome).toMatchObject({ code, stdout: '' });
  expect(outcome.stderr.slice(0, says.length)).toBe(says);
});

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
