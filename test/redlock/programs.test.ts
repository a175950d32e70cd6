import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { repository, runWith } from '../package/built.ts';
import { createDatabase } from '../support/database.ts';
import { redisFound, startRedis } from '../support/redis.ts';

// Programs as people write them against node-redlock 5 (.mjs) and 4 (.cjs). They run as they are against that and a
// Redis, and against ours with nothing changed but what is imported and how the client is made and closed.
const sources = join(import.meta.dirname, 'programs');
const programs = (await readdir(sources)).filter((file) => !file.endsWith('.txt'));
const folder = await mkdtemp(join(tmpdir(), 'fencepost-programs-'));
await symlink(join(repository, 'node_modules'), join(folder, 'node_modules'));
afterAll(() => rm(folder, { recursive: true }));

const from = (file: string): string => join(repository, 'src', file);
const changes: readonly (readonly [RegExp, string])[] = [
  [/^import Client from 'ioredis';$/m, `import { Fencepost as Client } from '${from('index.ts')}';`],
  [
    /^const Client = require\('ioredis'\);$/m,
    `const { Fencepost: Client } = require('${from('index.ts')}');`,
  ],
  [/(from |require\()'redlock'/, `$1'${from('redlock.ts')}'`],
  [/new Client\(process\.env\.REDIS_URL\)/, 'new Client({ connection: process.env.DATABASE_URL })'],
  [/\bredis\.quit\(\)/, 'redis.close()'],
];

async function run(
  program: string,
  variant: string,
  text: string,
  env: Record<string, string>,
): Promise<void> {
  const file = join(folder, `${variant}-${program}`);
  await writeFile(file, text);
  const expected = await readFile(join(sources, program.replace(/\.\w+$/, '.txt')), 'utf8');
  expect(await runWith({ cwd: folder, env }, process.execPath, file)).toBe(expected);
}

test('there are a dozen, of both versions', () => {
  expect(programs.filter((file) => file.endsWith('.mjs')).length).toBeGreaterThanOrEqual(8);
  expect(programs.filter((file) => file.endsWith('.cjs')).length).toBeGreaterThanOrEqual(4);
});

describe('with import and client changed', async () => {
  const database = await createDatabase();
  afterAll(() => database[Symbol.asyncDispose]());

  test.concurrent.each(programs)('%s runs on Postgres', async (program) => {
    const text = await readFile(join(sources, program), 'utf8');
    let changed = text;
    for (const [what, into] of changes) changed = changed.replace(what, into);
    const lines = text.split('\n').filter((line, index) => line !== changed.split('\n')[index]);
    expect(lines.length).toBeLessThanOrEqual(4);
    await run(program, 'ours', changed, { DATABASE_URL: database.url });
  });
});

describe.runIf(redisFound)('as they are', async () => {
  const redis = redisFound ? await startRedis() : undefined;
  afterAll(() => redis?.[Symbol.asyncDispose]());

  test.concurrent.each(programs)('%s runs on Redis', async (program) => {
    const text = await readFile(join(sources, program), 'utf8');
    const named = program.endsWith('.cjs')
      ? text.replace("require('redlock')", "require('redlock-4')")
      : text;
    await run(program, 'redis', named, { REDIS_URL: redis?.url ?? '' });
  });
});
