import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import { compiled } from '../support/compiled.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

vi.setConfig({ testTimeout: 30_000 });

const entry = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const letters = fileURLToPath(new URL('fixtures/letters.ts', import.meta.url));
const started: ChildProcess[] = [];

afterEach(() => {
  for (const { pid } of started.splice(0)) {
    try {
      if (pid !== undefined) process.kill(-pid, 'SIGKILL');
    } catch {
      // it has ended
    }
  }
});

/** Runs the real command in a process group of its own, which its worker processes share. */
function claims(url: string, ...given: string[]) {
  const child = spawn(process.execPath, [entry, 'claims', ...given], {
    detached: true,
    env: { PATH: process.env.PATH, ...compiled, DATABASE_URL: url },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.push(child);
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]).then(
    ([stdout, stderr, [code]]) => ({ code, stdout, stderr }),
  );
  return { child, ended };
}

let ddl: ReturnType<typeof claims>['ended'] | undefined;

async function createLetters(): Promise<TestDatabase> {
  const database = await createDatabase();
  await database.query(`create table letter (id integer primary key, state text default 'new', way text);
    create table begun (id integer, pid integer); create table gate ()`);
  ddl ??= claims(database.url, 'ddl', letters).ended;
  await database.query((await ddl).stdout);
  return database;
}

/** Ends as soon as it says this on stderr. */
const says = (child: ChildProcess, what: string) =>
  new Promise<void>((resolve) => {
    child.stderr?.on('data', (chunk) => String(chunk).includes(what) && resolve());
  });

const insert = (database: TestDatabase, way: string, count: number) =>
  database.query(
    `insert into letter (id, way)
    select coalesce((select max(id) from letter), 0) + n, $1 from generate_series(1, $2) n`,
    [way, count],
  );
const rows = async (database: TestDatabase, condition: string) =>
  (await database.query(`select from letter where ${condition}`)).length;
const begun = (database: TestDatabase) =>
  database.query<{ id: number; pid: number }>('select id, pid from begun order by id');

test('ddl prints what can be run as it is, with the trigger when asked', async () => {
  await using database = await createLetters();
  const plain = await claims(database.url, 'ddl', letters).ended;
  expect(plain).toMatchObject({ code: 0, stderr: '' });
  expect(plain.stdout).toMatch(/^alter table "letter"\n {2}add column[\s\S]*create index/);
  expect(plain.stdout).not.toContain('trigger');
  const waking = await claims(database.url, 'ddl', letters, '--wake-on', 'state, way').ended;
  expect(waking.stdout).toContain('after insert or update of "state", "way" on "letter"');
  await database.query(waking.stdout);
});

test('doctor says what is wrong and ends with 3, and with 0 when nothing is', async () => {
  await using database = await createLetters();
  expect(await claims(database.url, 'doctor', letters).ended).toEqual({
    code: 0,
    stdout: 'Nothing found: these claims are as fast as they can be.\n',
    stderr: '',
  });
  await database.query('create index watch on letter (fencepost_attempts)');
  const found = await claims(database.url, 'doctor', letters).ended;
  expect(found).toMatchObject({ code: 3, stderr: '' });
  expect(found.stdout).toMatch(
    /^claim-column: index watch has [^\n]+\n {2}mend it: drop index concurrently watch\n/,
  );
  const json = await claims(database.url, 'doctor', letters, '--json').ended;
  expect(JSON.parse(json.stdout)).toMatchObject([{ code: 'claim-column' }]);
});

test('work runs the handler in as many processes as asked; SIGTERM waits for handlers and gives the rest back', async () => {
  await using database = await createLetters();
  await insert(database, 'quick', 20);
  // More than one process takes: after quick rows that is one to work on and twice a batch.
  await insert(database, 'gate', 10);
  const { child, ended } = claims(
    database.url,
    ...['work', letters, '--processes', '2', '--concurrency', '1', '--batch', '2'],
  );
  await until('two are at the gate', async () => {
    const waiting = (await begun(database)).filter(({ id }) => id > 20);
    return waiting.length === 2 && waiting[0]?.pid !== waiting[1]?.pid;
  });
  child.kill('SIGTERM');
  await until('the others were given back', async () => {
    return (await rows(database, 'fencepost_holder is not null')) === 2;
  });
  await database.query('insert into gate default values');
  const { code, stdout, stderr } = await ended;
  expect(stdout).toMatch(/^Stopped: 22 completed, 0 failed, \d+ given back, 0 aborted\.\n$/);
  expect(code).toBe(0);
  expect(stderr).toMatch(/worker process \d+ is at work/);
  expect(await rows(database, `state = 'done'`)).toBe(22);
  expect(await rows(database, `fencepost_holder is not null or fencepost_attempts > 1`)).toBe(0);
});

test('a terminal sends Ctrl-C to all processes: still the handlers are waited for', async () => {
  await using database = await createLetters();
  await insert(database, 'gate', 1);
  const { child, ended } = claims(database.url, 'work', letters);
  await until('it is at the gate', async () => (await begun(database)).length === 1);
  const heard = says(child, 'waiting for handlers');
  process.kill(-Number(child.pid), 'SIGINT');
  await heard;
  await database.query('insert into gate default values');
  expect(await ended).toMatchObject({
    code: 0,
    stdout: 'Stopped: 1 completed, 0 failed, 0 given back, 0 aborted.\n',
  });
});

test('handlers that do not end within the grace are aborted: 3', async () => {
  await using database = await createLetters();
  await insert(database, 'gate', 1);
  const { child, ended } = claims(database.url, 'work', letters, '--grace', '100ms');
  await until('it is at the gate', async () => (await begun(database)).length === 1);
  child.kill('SIGTERM');
  expect(await ended).toMatchObject({
    code: 3,
    stdout: 'Stopped: 0 completed, 0 failed, 0 given back, 1 aborted.\n',
  });
  expect(await rows(database, 'fencepost_holder is null and fencepost_attempts = 0')).toBe(1);
});

test('a second signal ends handlers that heed nothing, and frozen processes, at once: 143', async () => {
  await using database = await createLetters();
  // Each takes one more row than it works on.
  await insert(database, 'deaf', 4);
  const { child, ended } = claims(database.url, 'work', letters, '--processes', '2', '--concurrency', '1');
  const [, frozen] = await until('both are deaf', async () => {
    const all = await begun(database);
    return all.length === 2 && all;
  });
  process.kill(Number(frozen?.pid), 'SIGSTOP');
  const heard = says(child, 'waiting for handlers');
  child.kill('SIGINT');
  await heard;
  child.kill('SIGTERM');
  expect((await ended).code).toBe(143);
  for (const { pid } of await begun(database)) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});

test('a process that dies is followed by another, and its rows are done by that', async () => {
  await using database = await createLetters();
  await insert(database, 'gate', 1);
  const { child, ended } = claims(database.url, 'work', letters);
  const [first] = await until('it is at the gate', async () => {
    const all = await begun(database);
    return all.length === 1 && all;
  });
  await database.query('insert into gate default values');
  process.kill(Number(first?.pid), 'SIGKILL');
  await until('it is done', async () => (await rows(database, `state = 'done'`)) === 1);
  child.kill('SIGTERM');
  const { code, stderr } = await ended;
  expect(code).toBe(0);
  expect(stderr).toContain('a worker process ended by SIGKILL: its rows are free after their ttl');
  expect(new Set((await begun(database)).map(({ pid }) => pid)).size).toBeLessThanOrEqual(2);
});

test('when the parent is killed, its processes stop in order', async () => {
  await using database = await createLetters();
  await insert(database, 'gate', 1);
  const { child } = claims(database.url, 'work', letters);
  await until('it is at the gate', async () => (await begun(database)).length === 1);
  child.kill('SIGKILL');
  await database.query('insert into gate default values');
  await until('it is done', async () => (await rows(database, `state = 'done'`)) === 1);
  const [{ pid } = { pid: 0 }] = await begun(database);
  await until('it has ended', () => {
    try {
      return !process.kill(pid, 0);
    } catch {
      return true;
    }
  });
});

test('a module that is none is refused with 2, a table that does not fit with 1', async () => {
  await using database = await createLetters();
  const folder = await mkdtemp(join(tmpdir(), 'fencepost-'));
  await writeFile(join(folder, 'empty.mjs'), 'export const handler = 1;');
  const empty = await claims(database.url, 'work', join(folder, 'empty.mjs')).ended;
  expect(empty).toMatchObject({ code: 2, stdout: '' });
  expect(empty.stderr).toContain('module: expected one that exports `claims`');
  const none = await claims(database.url, 'ddl', join(folder, 'none.mjs')).ended;
  expect(none).toMatchObject({ code: 2, stdout: '' });
  expect(none.stderr).toContain('module: expected a module that can be loaded');
  const grace = await claims(database.url, 'work', letters, '--grace', 'soon').ended;
  expect(grace).toMatchObject({ code: 2 });
  expect(grace.stderr).toMatch(/^error: --grace: expected/);
  await database.query('alter table letter drop column fencepost_due');
  const unfit = await claims(database.url, 'work', letters).ended;
  expect(unfit).toMatchObject({ code: 1, stdout: '' });
  expect(unfit.stderr).toContain('table "letter" lacks fencepost_due');
  await rm(folder, { recursive: true });
});
