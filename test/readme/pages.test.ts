import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import * as entry from 'fencepost';
import * as redlock from 'fencepost/redlock';
import { describe, expect, test } from 'vitest';
import { lossTexts } from '../../src/core/errors.ts';
import { repository } from '../package/built.ts';

const read = (page: string): string => readFileSync(join(repository, page), 'utf8');
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(repository, 'docs'))
    .filter((file) => file.endsWith('.md'))
    .map((file) => join('docs', file)),
];

/** A page without its code. */
const prose = (page: string): string => read(page).replace(/^```[\s\S]*?^```$/gm, '');

/** The anchors that a page has, as GitHub makes them. */
function anchorsOf(page: string): string[] {
  return [...prose(page).matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

test.each(pages)('links of %s lead somewhere', (page) => {
  const links = [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
  const broken = links
    .filter((link) => !/^https?:/.test(link))
    .filter((link) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? page : normalize(join(dirname(page), file));
      if (!existsSync(join(repository, target))) return true;
      return anchor !== undefined && !anchorsOf(target).includes(anchor);
    });
  expect(broken).toEqual([]);
});

test('the index of the guide has every page', () => {
  const index = read('docs/README.md');
  const missing = readdirSync(join(repository, 'docs'))
    .filter((file) => file.endsWith('.md') && file !== 'README.md')
    .filter((file) => !index.includes(`](${file})`));
  expect(missing).toEqual([]);
});

describe('docs/troubleshooting.md', () => {
  const page = read('docs/troubleshooting.md');
  const entries = new Map(
    [...page.matchAll(/^### `(\w+)`\n([\s\S]*?)(?=^##)/gm)].map(([, code = '', text = '']) => [code, text]),
  );
  const isError = (exported: unknown): exported is typeof entry.DatabaseError =>
    typeof exported === 'function' && exported.prototype instanceof entry.FencepostError;
  const facts = { cause: undefined, sqlState: undefined, inDoubt: false, retriable: false };
  const known = [...Object.values(entry), ...Object.values(redlock)].filter(isError);

  test('has an entry for each code, which names its classes, and no other', () => {
    const codes = new Map<string, string[]>();
    for (const Class of known) {
      const made: { code: string } = Reflect.construct(Class, [{ attempts: [] }, facts, facts]);
      codes.set(made.code, [...(codes.get(made.code) ?? []), Class.name]);
    }
    expect([...entries.keys()].sort()).toEqual([...codes.keys()].sort());
    for (const [code, names] of codes)
      for (const name of new Set(names)) expect(entries.get(code), code).toContain(`\`${name}\``);
  });

  test('has each reason of a loss, and each SQLSTATE of ours', () => {
    for (const reason of Object.keys(lossTexts))
      expect(entries.get('LOCK_LOST')).toContain(`| \`${reason}\``);
    const folder = join(repository, 'sql');
    const sql = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'));
    const states = new Set(sql.join().match(/(?<=errcode = ')FP\d{3}(?=')/g));
    expect(states.size).toBeGreaterThan(3);
    for (const state of states) expect(page).toContain(`| \`${state}\``);
  });
});

test('the API reference is made of every entry of the package', () => {
  const { exports } = JSON.parse(read('package.json')) as { exports: Record<string, { types?: string }> };
  const sources = Object.values(exports).flatMap(({ types }) =>
    types === undefined ? [] : [types.replace('./dist/', '../src/').replace(/\.d\.ts$/, '.ts')],
  );
  const { entryPoints } = JSON.parse(read('typedoc/typedoc.json')) as { entryPoints: string[] };
  expect(entryPoints.sort()).toEqual(sources.sort());
});
