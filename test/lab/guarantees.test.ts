import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { filesOf } from './run-scenarios.ts';
import { scenarios } from './scenarios.ts';

const page = readFileSync(new URL('../../docs/guarantees.md', import.meta.url), 'utf8');
const [, ...sections] = page.split(/^## /m);
const ids = scenarios.map(({ id }) => id);
/** What else a point can rest on. */
const others = ['model', 'simulation'];

/** The points of all sections but the last, which has the figures. */
const points = sections
  .slice(0, -1)
  .flatMap((section) => section.split(/^(?=- )/m).slice(1))
  .map(
    (point) =>
      point
        .split(/\n(?:\n|$)/)[0]
        ?.replaceAll(/\s+/g, ' ')
        .trim() ?? '',
  );

test('each point of docs/guarantees.md ends with scenarios that there are', () => {
  expect(points.length).toBeGreaterThan(40);
  for (const point of points) {
    const [, references] = /\[([^\]]+)\]$/.exec(point) ?? [];
    expect(references, point).toBeDefined();
    for (const reference of references?.split(', ') ?? [])
      expect([...ids, ...others], point).toContain(reference);
  }
});

test('nothing stands between the points but what kind they are of', () => {
  for (const section of sections.slice(0, -1)) {
    const [, ...rest] = section.split('\n');
    const between = rest
      .join('\n')
      .replaceAll(/^- (?:.|\n(?!\n))*/gm, '')
      .trim();
    for (const line of between.split(/\n+/))
      expect(['Promised:', 'Assumed:', 'Not promised:']).toContain(line);
  }
});

test.each(scenarios)('$id has a promise on that page, and tests', ({ id }) => {
  expect(points.filter((point) => point.includes(id))).not.toEqual([]);
  expect(filesOf([id])).not.toEqual([]);
});
