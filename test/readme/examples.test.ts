import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { buildPackage, repository, run, runWith } from '../package/built.ts';
import { createDatabase } from '../support/database.ts';
import { redisFound, startRedis } from '../support/redis.ts';
import { readBlocks } from './blocks.ts';

const blocks = readBlocks();
/** Each example with the block that follows it, which has to be its output. */
const examples = blocks
  .map((block, index) => ({ ...block, next: blocks[index + 1] }))
  .filter(({ language }) => ['ts', 'typescript', 'js', 'javascript'].includes(language));

// Whole compilers and installers run here, on whatever else the machine has to do.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

const built = await buildPackage();
afterAll(() => built[Symbol.asyncDispose]());
const folder = join(built.folder, 'examples');
await mkdir(folder);
// Where NodeNext does not find the types that node-redlock brings.
await cp(join(repository, 'test', 'moving', 'node-redlock.d.ts'), join(folder, 'node-redlock.d.ts'));
for (const { name, text } of examples) await writeFile(join(folder, `${name}.ts`), text);

describe('an example of a page', () => {
  test('has a name of its own and its output under it', () => {
    const names = examples.map(({ name }) => name);
    expect(names).not.toEqual([]);
    for (const { language, name, next, page, line } of examples) {
      const place = `${page}:${line}`;
      expect(language, place).toBe('ts');
      expect(name, place).toMatch(/^[a-z][a-z0-9-]*$/);
      expect(next?.language, place).toBe('text');
    }
    expect(new Set(names).size).toBe(names.length);
  });

  test('compiles under strict', async () => {
    const config = { extends: '../tsconfig.json', compilerOptions: { paths: {} }, include: ['*.ts'] };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
    await run(folder, 'tsc', '-p', 'tsconfig.json');
  });

  // Those that need a Redis run where there is one.
  const runnable = examples.filter(({ text }) => redisFound || !text.includes('REDIS_URL'));
  test.each(runnable)('prints what stands under it: $name', async ({ name, text, next }) => {
    // Examples that migrate start from nothing; the others from what migrate leaves.
    await using database = await createDatabase({ template: !text.includes("'fencepost/migrate'") });
    await using redis = text.includes('REDIS_URL') ? await startRedis() : undefined;
    const env = { DATABASE_URL: database.url, REDIS_URL: redis?.url ?? '' };
    expect(await runWith({ cwd: folder, env }, process.execPath, `${name}.ts`)).toBe(next?.text);
  });
});

test.each(blocks.filter(({ language }) => language === 'sql'))(
  'SQL of $page, line $line, runs',
  async ({ text }) => {
    await using database = await createDatabase();
    await database.query(text);
  },
);

const commands = blocks.filter(({ language, text }) => language === 'sh' && text.includes('npx fencepost '));

test.each(commands)('the commands of $page, line $line, run', async ({ text }) => {
  await using database = await createDatabase({ template: false });
  const env = { DATABASE_URL: database.url };
  // The package does not find its own command by that name; test/package runs it where it is installed.
  const script = text.replaceAll('npx fencepost ', `${process.execPath} ../dist/cli.js `);
  await runWith({ cwd: folder, env }, 'bash', '-e', '-c', script);
});
