import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';

const main = fileURLToPath(new URL('../../examples/demo/main.ts', import.meta.url));
const started: ChildProcess[] = [];

afterEach(() => {
  for (const { pid } of started.splice(0)) {
    if (pid !== undefined && groupExists(pid)) process.kill(-pid, 'SIGKILL');
  }
});

test('the demo audits both runs, and ends with 0 because the guarded one is clean', {
  timeout: 120_000,
}, async () => {
  const demo = start('--seconds', '6', '--workers', '4', '--seed', '3');
  const [output, errors, code] = await Promise.all([text(demo.stdout), text(demo.stderr), exitCode(demo)]);
  expect({ code, errors }, output).toEqual({ code: 0, errors: '' });

  const table = auditTable(output);
  const [due, dueUnguarded] = table('Transfers that were due');
  const [expected] = table('Sum of all accounts, expected');
  expect(due).toBeGreaterThan(0);
  expect(dueUnguarded).toBeGreaterThan(0);
  expect(table('Sum of all accounts, found')[0]).toBe(expected);
  expect(table('applied exactly once')[0]).toBe(due);
  const damages = ['a wrong balance', 'twice or more', 'lost: missing', 'Lost updates', 'that got in'];
  for (const damage of damages) expect(table(damage)[0], damage).toBe(0);
  expect(output).toMatch(/^With the guard: clean\./m);

  // Chance decides what the other run shows; the sentence must be what its column says.
  const damaged = damages.some((damage) => table(damage)[1] !== 0);
  expect(output).toMatch(damaged ? /^Without it: corrupt\./m : /^Without it: no corruption/m);
});

test('Ctrl-C ends the demo with 130 and leaves no worker, frozen ones included, and no server', {
  timeout: 120_000,
}, async () => {
  const demo = start('--seconds', '20', '--workers', '4', '--seed', '5');
  let output = '';
  for await (const chunk of demo.stdout.iterator({ destroyOnReturn: false })) {
    output += chunk;
    if (output.includes('frozen for')) break;
  }
  demo.stdout.resume();
  const pid = Number(demo.pid);
  const ended = exitCode(demo);
  process.kill(-pid, 'SIGINT');
  expect(await ended).toBe(130);
  expect(groupExists(pid)).toBe(false);
  expect(await accepts(Number(/127\.0\.0\.1:(\d+)/.exec(output)?.[1]))).toBe(false);
});

test.each([
  [['--workers', '1'], '--workers: expected a whole number from 2 to 32, got "1"'],
  [['--seconds', 'ten'], '--seconds: expected a whole number from 4 to 3600, got "ten"'],
  [['--seed=-1'], '--seed: expected a whole number from 0 to 4294967295, got "-1"'],
  [['--sed', '1'], "Unknown option '--sed'"],
  [['now'], "Unexpected argument 'now'"],
])('the options %j are refused with 2 and a message that names what is wrong', async (options, message) => {
  const demo = start(...options);
  const [errors, code] = await Promise.all([text(demo.stderr), exitCode(demo)]);
  expect(code).toBe(2);
  expect(errors).toContain(message);
});

test('--help names every option', async () => {
  const demo = start('--help');
  const [output, code] = await Promise.all([text(demo.stdout), exitCode(demo)]);
  expect(code).toBe(0);
  for (const option of ['--seed', '--workers', '--seconds', '--help']) expect(output).toContain(option);
});

/** In a process group of its own, which its workers share: what a terminal would send Ctrl-C to. */
function start(...options: string[]) {
  const { FORCE_COLOR: _, ...env } = process.env;
  const demo = spawn(process.execPath, [main, ...options], {
    detached: true,
    env: { ...env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.push(demo);
  return demo;
}

async function exitCode(child: ChildProcess): Promise<number | null> {
  const [code] = await once(child, 'exit');
  return code;
}

/** The numbers of a line of the audit, with the guard and without. */
function auditTable(output: string): (name: string) => [number, number] {
  return (name) => {
    const line = output.split('\n').find((candidate) => candidate.includes(name));
    const numbers = /([\d,]+) +([\d,]+)$/.exec(line ?? '');
    if (numbers === null) throw new Error(`no line "${name}" with two numbers in:\n${output}`);
    return [numberOf(numbers[1]), numberOf(numbers[2])];
  };
}

function numberOf(cell: string | undefined): number {
  return Number(cell?.replaceAll(',', ''));
}

function groupExists(pid: number): boolean {
  try {
    return process.kill(-pid, 0);
  } catch {
    return false;
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
