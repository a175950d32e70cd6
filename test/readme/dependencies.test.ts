import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { repository } from '../package/built.ts';

const readJson = (...path: string[]) => JSON.parse(readFileSync(join(repository, ...path), 'utf8'));
const manifest = readJson('package.json');
const page = readFileSync(join(repository, 'docs', 'dependencies.md'), 'utf8');

test.each(['dependencies', 'peerDependencies', 'devDependencies'])(
  'docs/dependencies.md lists the %s, with their versions and licences, and says why',
  (group) => {
    const [, section = ''] = page.split(new RegExp(`^## ${group}$`, 'm'));
    const [table = ''] = section.split(/^## /m);
    const rows = [...table.matchAll(/^\| `(.+?)` +\| (.+?) +\| (.+?) +\| [\d,]+ kB +\| .+ \|$/gm)];
    const listed = rows.map(([, name, version, licence]) => ({ name, version, licence }));
    const used = Object.entries(manifest[group]).map(([name, version]) => {
      return { name, version, licence: readJson('node_modules', name, 'package.json').license };
    });
    const byName = (a: { name?: unknown }, b: { name?: unknown }) =>
      String(a.name) < String(b.name) ? -1 : 1;
    expect(listed.sort(byName)).toEqual(used.sort(byName));
  },
);
