import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { Fencepost } from 'fencepost';
import { describe, expect, test } from 'vitest';
import { confirm } from '../../src/cli/confirm.ts';
import { compiled } from '../support/compiled.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { createRole } from '../support/role.ts';

const entry = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));

const names = ['0001_foundation', '0002_claims'];
const listed = names.join(', ');

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the real command, without a terminal, and with nothing in its environment but what is given. */
function fencepost(environment: Record<string, string>, ...given: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const env = { PATH: process.env.PATH, ...compiled, ...environment };
    const child = execFile(process.execPath, [entry, ...given], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
    child.stdin?.end();
  });
}

const done = (...lines: string[]): Outcome => ({ code: 0, stdout: `${lines.join('\n')}\n`, stderr: '' });
const status = (version: string, applied: string, waiting: string): Outcome =>
  done('schema   fencepost', `version  ${version}`, `applied  ${applied}`, `waiting  ${waiting}`);

test('migrate says what it applied, and when there was nothing to do; status says how far the schema is', async () => {
  await using database = await createDatabase({ template: false });
  const app = await createRole(database, '_app');
  const env = { DATABASE_URL: database.url };
  expect(await fencepost(env, 'status')).toEqual(status('none', 'none', listed));
  expect(await fencepost(env, 'migrate')).toEqual(
    done(...names.map((name) => `Applied ${name} to schema "fencepost".`)),
  );
  expect(await fencepost(env, 'status')).toEqual(status('1', listed, 'none'));
  expect(await fencepost(env, 'migrate', '--grant', app.name)).toEqual(
    done('Nothing to do: schema "fencepost" is up to date.', `Role "${app.name}" may use it.`),
  );
  await using client = new Fencepost({ connection: app.url });
  await using lease = await client.leases.acquire('import');
  expect(lease.state).toBe('held');
});

test('the connection comes from --connection, else DATABASE_URL, else the PG* variables', async () => {
  await using flag = await createDatabase();
  await using url = await createDatabase({ template: false });
  await using variables = await createDatabase({ template: false });
  const { hostname, port, username, password, pathname } = new URL(variables.url);
  const pg = {
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: decodeURIComponent(username),
    PGPASSWORD: decodeURIComponent(password),
    PGDATABASE: pathname.slice(1),
  };
  const all = { ...pg, DATABASE_URL: url.url };
  expect((await fencepost(all, 'status', '--connection', flag.url)).stdout).toContain('version  1');
  expect((await fencepost(all, 'migrate')).code).toBe(0);
  expect(await migrated(url)).toBe(true);
  expect(await migrated(variables)).toBe(false);
  expect((await fencepost(pg, 'migrate')).code).toBe(0);
  expect(await migrated(variables)).toBe(true);
});

test('migrate --sql prints what migrate does, and needs no database', async () => {
  await using database = await createDatabase({ template: false });
  const app = await createRole(database, '_app');
  const printed = await fencepost({}, 'migrate', '--sql', '--schema', 'My Locks', '--grant', app.name);
  expect(printed).toMatchObject({ code: 0, stderr: '' });
  await database.query(printed.stdout);
  const again = await fencepost({ DATABASE_URL: database.url }, 'migrate', '--schema', 'My Locks');
  expect(again).toEqual(done('Nothing to do: schema "My Locks" is up to date.'));
  await using client = new Fencepost({ connection: app.url, schema: 'My Locks' });
  await using lease = await client.leases.acquire('import');
  expect(lease.state).toBe('held');
});

describe('rollback', () => {
  test('names what will be lost, and without a terminal does nothing unless --yes is there', async () => {
    await using database = await createDatabase();
    const env = { DATABASE_URL: database.url };
    await using client = new Fencepost({ connection: database.url });
    await using kept = await client.leases.acquire('kept');
    await (await client.leases.acquire('given back')).release();
    const refused = await fencepost(env, 'rollback', '--count', '5');
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toContain(`This undoes ${names.toReversed().join(', ')} in schema "fencepost".\n`);
    expect(refused.stderr).toContain('Everything will be lost: 2 leases, 1 of them held now.');
    expect(refused.stderr).toContain('error: there is no terminal to ask at: --yes is needed\n');
    expect(await migrated(database)).toBe(true);
    await kept.release();
    await client.close();

    const undone = done(...names.toReversed().map((name) => `Undid ${name} in schema "fencepost".`));
    expect(await fencepost(env, 'rollback', '--yes', '--count', '5')).toEqual(undone);
    expect(await migrated(database)).toBe(false);
    const nothing = done('Nothing to undo: schema "fencepost" has no migrations.');
    expect(await fencepost(env, 'rollback')).toEqual(nothing);
  });

  test.each([
    ['y\n', true],
    ['YES\n', true],
    [' yes \n', true],
    ['n\n', false],
    ['\n', false],
    ['yesterday\n', false],
    ['', false],
  ])('at a terminal takes %j for an answer', async (answer, agreed) => {
    const input = new PassThrough();
    const output = new PassThrough();
    input.end(answer);
    expect(await confirm('Go on?', input, output)).toBe(agreed);
    expect(String(output.read()).trim()).toBe('Go on? [y/N]');
  });
});

describe('what goes wrong', () => {
  const nowhere = { DATABASE_URL: 'postgresql://someone:hush@127.0.0.1:1/none' };

  test.concurrent.each([
    ['migrat', "error: unknown command 'migrat'\n(Did you mean migrate?)"],
    ['migrate --shema x', "error: unknown option '--shema'\n(Did you mean --schema?)"],
    ['migrate now', "error: too many arguments for 'migrate'. Expected 0 arguments but got 1: now."],
    ['migrate --schema', "error: option '--schema <name>' argument missing"],
    ['migrate --schema pg_x', 'error: --schema: expected a name without quotes'],
    [`status --schema ${'x'.repeat(64)}`, 'error: --schema: expected a string of 1 to 63 bytes'],
    ['migrate --sql --grant=', 'error: --grant: expected a string of 1 to 63 bytes'],
    ['rollback --count 0', 'error: --count: expected a whole number from 1'],
    ['rollback --count many', `error: --count: expected a whole number from 1`],
    [
      'status --connection hush',
      'error: --connection or DATABASE_URL: expected a URL that begins with postgresql://',
    ],
    ['status --connection postgresql://u:hush@[::1', 'error: --connection or DATABASE_URL: expected a URL'],
  ])('in the arguments ends with 2: %s', async (given, says) => {
    const { code, stdout, stderr } = await fencepost(nowhere, ...given.split(' '));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.slice(0, says.length)).toBe(says);
    expect(stderr).not.toMatch(/hush|^\s+at /m);
  });

  test.concurrent.each([['migrate'], ['rollback'], ['status']])(
    'in the database ends %s with 1',
    async (command) => {
      expect(await fencepost(nowhere, command)).toEqual({
        code: 1,
        stdout: '',
        stderr: 'error: could not connect to the database: connect ECONNREFUSED 127.0.0.1:1\n',
      });
    },
  );

  test('with the rights of the role is said in words', async () => {
    await using database = await createDatabase({ template: false });
    const stranger = await createRole(database, '_stranger');
    expect(await fencepost({ DATABASE_URL: stranger.url }, 'migrate')).toEqual({
      code: 1,
      stdout: '',
      stderr: `error: could not migrate schema "fencepost": permission denied for database ${database.name}\n`,
    });
  });
});

test('a reader that has enough ends it without a word', async () => {
  const child = spawn(process.execPath, [entry, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const [code] = await once(child, 'close');
  expect({ code, said }).toEqual({ code: 0, said: '' });
});

describe('help', () => {
  test('has every command, and for each its examples and the exit codes', { timeout: 60_000 }, async () => {
    const help = await fencepost({}, '--help');
    expect(help).toMatchObject({ code: 0, stderr: '' });
    const commands = [...help.stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name);
    expect(commands).toEqual([
      ...[
        'migrate',
        'rollback',
        'status',
        'adopt',
        'locks',
        'leases',
        'waiters',
        'claims',
        'elections',
        'watch',
        'dashboard',
      ],
      ...['doctor', 'revoke', 'release', 'sweep', 'run', 'sql', 'help'],
    ]);
    const groups = commands
      .slice(0, -1)
      .flatMap((command) =>
        command === 'claims'
          ? ['claims list', 'claims ddl', 'claims doctor', 'claims work']
          : [String(command)],
      );
    // Each is a program of its own that is started: not all at one time.
    for (const command of groups) {
      const { code, stdout, stderr } = await fencepost({}, ...command.split(' '), '--help');
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const [first = ''] = command.split(' ');
      expect(stdout).toMatch(new RegExp(`\nExamples:\n  \\$ .*fencepost ${first}`));
      if (first !== 'claims' && first !== 'sql') expect(stdout).toMatch(/\(env:\s+DATABASE_URL\)/);
      expect(stdout).toMatch(/\nExit codes: .*\.\n/);
    }
  });

  test('comes on stderr, with 2, when no command was given', async () => {
    const { code, stdout, stderr } = await fencepost({});
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage: fencepost [options] [command]');
  });

  test('tells the version of the package', async () => {
    const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(await fencepost({}, '--version')).toEqual(done(manifest.version));
  });
});

async function migrated(database: TestDatabase): Promise<boolean> {
  const rows = await database.query(`select from pg_tables where schemaname = 'fencepost'`);
  return rows.length > 0;
}
