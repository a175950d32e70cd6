import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { points, spans } from '../../src/core/events.ts';
import { repository } from '../package/built.ts';

const page = readFileSync(join(repository, 'docs', 'events.md'), 'utf8');
const source = readFileSync(join(repository, 'src', 'core', 'events.ts'), 'utf8');

/** What the page says of each channel, by its name without `fencepost:`. */
const chapters = new Map(
  page
    .split(/^### /m)
    .slice(1)
    .map((chapter) => [/^`fencepost:(\w+)`$/m.exec(chapter)?.[1] ?? '', chapter] as const),
);

test('docs/events.md has a chapter for each channel, under the name that it has', () => {
  expect([...chapters.keys()].sort()).toEqual([...Object.keys(spans), ...Object.keys(points)].sort());
  for (const [name, channel] of Object.entries(points)) expect(channel.name).toBe(`fencepost:${name}`);
  for (const [name, { start }] of Object.entries(spans))
    expect(start.name).toBe(`tracing:fencepost:${name}:start`);
});

test.each([...chapters])(
  'the chapter of %s names the fields of its event, and no others',
  (name, chapter) => {
    const named = [...chapter.matchAll(/`(\w+)(\?)?`(?=[:,;. )\n]| and)/g)].map(([, field = '']) => field);
    const fields = fieldsOf(`${name[0]?.toUpperCase()}${name.slice(1)}Event`);
    expect(fields).not.toEqual([]);
    for (const field of fields) expect(named, `${name}: ${field}`).toContain(field);
    const items = [...chapter.matchAll(/^- `(\w+)\??`/gm)].map(([, field]) => field);
    for (const item of items) expect(fields, `${name}: ${item}`).toContain(item);
  },
);

/** The fields of an interface, with those that it inherits. */
function fieldsOf(name: string): string[] {
  const [, parents = '', body = ''] =
    new RegExp(`^(?:export )?interface ${name}(?: extends ([^{]+))? \\{\\n?([\\s\\S]*?)\\}$`, 'm').exec(
      source,
    ) ?? [];
  const own = [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??:/gm)].map(([, field = '']) => field);
  const inherited = [...parents.matchAll(/[A-Z]\w+/g)]
    .filter(([parent]) => parent !== 'Omit')
    .flatMap(([parent]) => fieldsOf(parent));
  return [...inherited, ...own];
}
