import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Fencepost } from 'fencepost';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { protocol } from '../../src/cli/sql.ts';
import { screenOf } from '../../src/cli/watch-screen.ts';
import { Watching } from '../../src/cli/watching.ts';
import { systemClock } from '../../src/core/clock.ts';
import { Database } from '../../src/session/database.ts';
import { compiled } from '../support/compiled.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { createRole } from '../support/role.ts';
import { until } from '../support/until.ts';

vi.setConfig({ testTimeout: 30_000, hookTimeout: 60_000 });

const entry = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));

function fencepost(url: string, ...given: string[]) {
  return new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    const options = { env: { PATH: process.env.PATH, ...compiled, DATABASE_URL: url }, maxBuffer: 2 ** 26 };
    const child = execFile(process.execPath, [entry, ...given], options, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
    child.stdin?.end();
  });
}

describe('with 10,000 leases and 1,000 waiters', () => {
  let database: TestDatabase;
  let holder: Fencepost;
  let waiting: Fencepost;
  const giveUp = new AbortController();
  beforeAll(async () => {
    database = await createDatabase();
    holder = new Fencepost({ connection: database.url });
    waiting = new Fencepost({ connection: database.url });
    await Promise.all(
      Array.from({ length: 10_000 }, (_, number) =>
        holder.leases.acquire({ tenant: `t${number % 10}`, name: `job ${number}` }),
      ),
    );
    await holder.advisory.acquire('nightly');
    await holder.leases.acquire('scheduler');
    for (let number = 0; number < 1_000; number += 1) {
      const key = { tenant: 't0', name: `job ${number * 10}` };
      waiting.leases.acquire(key, { fair: true, signal: giveUp.signal }).catch(() => {});
    }
    await until(
      'a thousand stand in line',
      async () => {
        const [row] = await database.query<{ tickets: string }>('select tickets from fencepost.overview()');
        return Number(row?.tickets) === 1_000;
      },
      30_000,
    );
  });
  afterAll(async () => {
    giveUp.abort();
    await Promise.all([holder.close(), waiting.close()]);
    await database[Symbol.asyncDispose]();
  });
  const run = (...given: string[]) => fencepost(database.url, ...given);

  test('leases: of a tenant, by the beginning of the name, page by page, and as JSON', async () => {
    const all = await run('leases');
    expect(all).toMatchObject({ code: 0, stderr: 'There are more: --limit shows more than 100.\n' });
    expect(all.stdout.split('\n')[0]).toMatch(
      /^tenant +name +slot +token +mode +holder +held for +expires in$/,
    );
    expect(all.stdout.trimEnd().split('\n')).toHaveLength(101);
    const page = async (...more: string[]) =>
      JSON.parse(
        (await run('leases', '--json', '--tenant', 't3', '--name', 'job 99', '--limit', '2', ...more)).stdout,
      );
    const one = await page();
    expect(one.map(({ name }: { name: string }) => name)).toEqual(['job 9903', 'job 9913']);
    expect(one[0]).toMatchObject({ tenant: 't3', slot: 0, mode: 'exclusive', revoked: false });
    expect(one[0].token).toMatch(/^\d{14,}$/);
    const next = await page('--after', JSON.stringify(['t3', one[1].name, 0]));
    expect(next.map(({ name }: { name: string }) => name)).toEqual(['job 9923', 'job 993']);
  });

  test('waiters, locks and elections', async () => {
    const waiters = JSON.parse((await run('waiters', '--json', '--limit', '2000')).stdout);
    expect(waiters).toHaveLength(1_000);
    const asked = { kind: 'lease', tenant: 't0', name: 'job 0', mode: 'exclusive' };
    expect(waiters).toContainEqual(expect.objectContaining(asked));
    expect((await run('waiters')).stdout).toMatch(
      /^kind +tenant +name +mode +application +pid +waited\nlease +t0 +job \d+ /,
    );
    const locks = await run('locks', '--key', 'nightly');
    expect(locks.stdout).toMatch(/\nnightly +-?\d+ +exclusive +held +\d+ +fencepost/);
    const elections = await run('elections', 'scheduler', 'nobody here');
    expect(elections.stdout).toMatch(/\n +scheduler +\S+:\d+ +\d+ +\S+ \w+\n +nobody here +nobody\n$/);
  });

  test('watch: one look, and rates and losses between looks', async () => {
    const once = await run('watch', '--once');
    expect(once).toMatchObject({ code: 0, stderr: '' });
    expect(once.stdout).toMatch(
      /^leases {3}10001 held of 10001 known, 1000 in line\nlocks {4}1 held, 0 waiting\nholders {2}2 alive, 0 expired/,
    );
    expect((await run('watch')).stderr).toBe(
      'error: there is no terminal to show it on: see --once\n(--help shows what there is)\n',
    );

    const looking = new Database(database.url, 'fencepost', systemClock);
    const watching = new Watching(looking, systemClock);
    const first = await watching.look();
    expect(first).toMatchObject({ lost: 0, rate: undefined });
    const screen = screenOf(first, 24).split('\n');
    expect(screen.length).toBeLessThanOrEqual(24);
    expect(screen.join('\n')).toContain('and 197 more');
    // A process dies without a word.
    const [dead] = await database.query<{ id: string }>(
      `select fencepost.holder_open(interval '300 ms', 'doomed') as id`,
    );
    expect(await watching.look()).toMatchObject({ lost: 0 });
    await until('it has expired', async () => {
      const rows = await database.query('select from fencepost.holders where id = $1 and alive', [dead?.id]);
      return rows.length === 0;
    });
    await (await holder.leases.acquire('a grant')).release();
    const last = await watching.look();
    expect(last).toMatchObject({ lost: 1 });
    expect('rate' in last && last.rate).toBeGreaterThan(0);
    await looking.close();
    expect(await watching.look()).toEqual({ failure: 'this Fencepost is closed' });
  });
});

describe('what takes away', () => {
  test('revoke and release say what they will do, need --yes without a terminal, and do it', async () => {
    await using database = await createDatabase();
    await using holder = new Fencepost({ connection: database.url });
    const lease = await holder.leases.acquire('import', { ttl: '6s' });
    const asked = await fencepost(database.url, 'revoke', 'import', '--grace', '5s');
    expect(asked).toMatchObject({ code: 2, stdout: '' });
    expect(asked.stderr).toMatch(
      new RegExp(
        `^This takes "import" from \\S+ \\(token ${lease.token}\\), which has 5s to end\\.\nerror: there is no terminal`,
      ),
    );
    expect(lease.state).toBe('held');
    const other = await fencepost(database.url, 'revoke', 'import', '--token', '1', '--yes');
    expect(other.stdout).toBe('Nothing to revoke: nobody holds it.\n');
    const revoked = await fencepost(database.url, 'revoke', 'import', '--yes');
    expect(revoked).toEqual({ code: 0, stdout: `Revoked ${lease.token}.\n`, stderr: '' });
    await until('it is told', () => lease.signal.aborted);

    const again = await holder.leases.acquire('import', { ttl: '6s' });
    expect((await fencepost(database.url, 'release', 'import', '--yes')).code).toBe(2);
    const released = await fencepost(database.url, 'release', 'import', '--force', '--yes');
    expect(released).toEqual({ code: 0, stdout: `Released ${again.token}.\n`, stderr: '' });
    await until('it is told', () => again.signal.aborted);

    const lock = await holder.advisory.acquire('nightly');
    const ended = await fencepost(database.url, 'release', 'nightly', '--lock', '--force', '--yes');
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Ended \d+\.\n$/) });
    await until('it is lost', () => lock.signal.aborted);
    const nobody = await fencepost(database.url, 'release', 'nightly', '--lock', '--force', '--yes');
    expect(nobody.stdout).toBe('Nothing to release: nobody holds it.\n');
  });

  test('sweep removes what nobody has held for so long', async () => {
    await using database = await createDatabase();
    await using holder = new Fencepost({ connection: database.url });
    await (await holder.leases.acquire('old')).release();
    expect((await fencepost(database.url, 'sweep', '--older-than', '0s')).code).toBe(2);
    const swept = await fencepost(database.url, 'sweep', '--older-than', '0s', '--yes');
    expect(swept).toEqual({ code: 0, stdout: 'Removed 1.\n', stderr: '' });
  });
});

describe('doctor', () => {
  test('finds nothing in a good database, a schema that is not there, and what is set badly', async () => {
    await using database = await createDatabase({ template: false });
    const missing = await fencepost(database.url, 'doctor', '--json');
    expect(missing.code).toBe(3);
    expect(JSON.parse(missing.stdout)).toEqual([
      { code: 'schema', problem: 'schema "fencepost" is not there', remedy: 'fencepost migrate' },
    ]);
    await fencepost(database.url, 'migrate');
    expect(await fencepost(database.url, 'doctor')).toEqual({
      code: 0,
      stdout: 'Nothing found.\n',
      stderr: '',
    });
    await database.query(
      `alter database ${database.name} set default_transaction_isolation = 'serializable'`,
    );
    await database.query('alter sequence fencepost.token cache 20');
    const bad = await fencepost(database.url, 'doctor');
    expect(bad.code).toBe(3);
    expect(bad.stdout).toMatch(/^isolation: transactions of this database are serializable by default/);
    expect(bad.stdout).toContain('schema: the sequence "token" in schema "fencepost" has CACHE 20');
  });
});

test('claims lists the tables with claims, and who has their rows', async () => {
  await using database = await createDatabase();
  await database.query(`create table job (id integer primary key, fencepost_token bigint, fencepost_holder uuid,
    fencepost_attempts integer, fencepost_due timestamptz, fencepost_error text)`);
  const [{ id } = { id: '' }] = await database.query<{ id: string }>(
    `select fencepost.holder_open(interval '1 minute', 'worker') as id`,
  );
  await database.query(
    `insert into job (id, fencepost_holder, fencepost_due) values (1, null, null), (2, $1, '-infinity'),
      (3, gen_random_uuid(), '-infinity'), (4, '00000000-0000-0000-0000-000000000000', now()),
      (5, '00000000-0000-0000-0000-000000000000', 'infinity'), (6, $1, '-infinity')`,
    [id],
  );
  await database.query(`create table mail (id integer primary key)`);
  await database.query(
    `insert into fencepost.claim (tenant, source_id, key, token, holder_id, attempts, due)
      select '', fencepost.claim_source('mail', '{id}', null), key, 1, holder, 1, due
      from (values ('1', $1::uuid, '-infinity'::timestamptz), ('2', gen_random_uuid(), '-infinity'),
        ('3', '00000000-0000-0000-0000-000000000000', 'infinity'), ('4', null, '-infinity')) v(key, holder, due)`,
    [id],
  );
  expect(JSON.parse((await fencepost(database.url, 'claims', '--json')).stdout)).toEqual([
    { table: 'public.job', claimed: 2, leftBehind: 1, waiting: 1, aside: 1 },
    { table: 'public.mail', claimed: 1, leftBehind: 1, waiting: 0, aside: 1 },
  ]);
  const { stdout } = await fencepost(database.url, 'claims', 'list', '--holders');
  expect(stdout).toMatch(new RegExp(`\npublic.job +${id} +worker +alive +2\npublic.job +\\S+ +dead +1\n`));
  expect(stdout).toMatch(new RegExp(`\npublic.mail +${id} +worker +alive +1\n`));
});

test('sql prints what runs as it is, but for the variables of psql', async () => {
  await using database = await createDatabase();
  expect((await fencepost('', 'sql')).stdout).toBe(protocol('"fencepost"'));
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  const variables: Record<string, string> = {};
  const script = protocol('fencepost').replaceAll(/^--.*$/gm, '');
  for (const [text, end] of [...script.matchAll(/\s*([\s\S]+?)(;|\\gset)/g)].map(([, one = '', two]) => [
    one,
    two,
  ])) {
    const bound = String(text).replaceAll(/(?<!:):('?)(\w+)'?/g, (_, quote, name) =>
      quote === '' ? String(variables[name]) : `'${variables[name]}'`,
    );
    const { rows } = await client.query(bound);
    if (end === '\\gset')
      for (const [name, value] of Object.entries(rows[0])) variables[name] = String(value);
  }
  expect(variables).toMatchObject({
    holder: expect.any(String),
    token: expect.stringMatching(/^\d{14,}$/),
    slot: '0',
  });
  await client.end();
});

test('an application role sees what these commands show, and names do not leave the schema', async () => {
  await using database = await createDatabase({ template: false });
  const app = await createRole(database, '_app');
  const stranger = await createRole(database, '_stranger');
  await fencepost(database.url, 'migrate', '--grant', app.name);
  for (const command of ['leases', 'waiters', 'locks', 'claims', 'watch --once', 'elections x']) {
    const { code, stderr } = await fencepost(app.url, ...command.split(' '));
    expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: '' });
  }
  const refused = await fencepost(stranger.url, 'waiters');
  expect(refused).toMatchObject({ code: 1, stdout: '' });
  expect(refused.stderr).toContain('permission denied');
});
