import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parser } from '@prometheus-io/lezer-promql';
import { beforeAll, expect, test } from 'vitest';
import { instrumentsOf } from '../../src/opentelemetry/instruments.ts';
import { compiled } from '../support/compiled.ts';
import { createDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';

const example = (file: string): string =>
  fileURLToPath(new URL(`../../examples/observability/${file}`, import.meta.url));

/** What one of a dashboard's expressions asks for. */
interface Query {
  readonly metrics: readonly string[];
  readonly labels: readonly string[];
}

/** Names of series, each with the names of its labels. */
type Scrape = Map<string, Set<string>>;

interface Target {
  readonly expr: string;
}

const dashboard = JSON.parse(readFileSync(example('dashboard.json'), 'utf8')) as {
  panels: { title: string; targets: Target[] }[];
  templating: { list: { query: string | { query: string } }[] };
};
const expressions = dashboard.panels.flatMap(({ title, targets }) =>
  targets.map(({ expr }) => [title, expr] as const),
);

let scrape: Scrape = new Map();

beforeAll(async () => {
  await using database = await createDatabase();
  const env = { PATH: process.env.PATH, ...compiled, DATABASE_URL: database.url, PORT: '0' };
  const program = spawn(process.execPath, [example('main.ts')], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(program, 'exit');
  try {
    const lines = createInterface(program.stdout);
    const [line] = (await Promise.race([once(lines, 'line'), ended])) as [string];
    const [url = ''] = /http:\S+\/metrics/.exec(line) ?? [];
    const wanted = expressions.flatMap(([, expression]) => read(expression).metrics);
    scrape = await until('everything was measured', async () => {
      const found = seriesOf(await (await fetch(url)).text());
      scrape = found;
      return wanted.every((name) => found.has(name)) && found;
    }).catch(() => scrape);
    program.kill('SIGINT');
    expect((await ended)[0]).toBe(0);
  } finally {
    program.kill('SIGKILL');
  }
});

test('a scrape of the example has every metric', () => {
  const names = [...described().keys()].map((name) => name.replaceAll('.', '_'));
  const found = [...scrape.keys()].map((name) => name.replace(/_(total|bucket)$/, ''));
  expect(found).toEqual(expect.arrayContaining(names));
});

test.each(expressions)(
  'dashboard, %s: %s can be read, and asks for series that are there',
  (_, expression) => {
    const { metrics, labels } = read(expression);
    expect(metrics).not.toEqual([]);
    for (const metric of metrics) {
      expect([...scrape.keys()]).toContain(metric);
      expect([...(scrape.get(metric) ?? [])]).toEqual(expect.arrayContaining([...labels]));
    }
  },
);

test('the variables of the dashboard ask for series that are there', () => {
  const [, query] = dashboard.templating.list.map(({ query }) => query);
  const [, metric = '', label] =
    /^label_values\((\w+), (\w+)\)$/.exec((query as { query: string }).query) ?? [];
  expect([...(scrape.get(metric) ?? [])]).toContain(label);
});

test('an expression that cannot be read is found out', () => {
  expect(() => read('sum by (a (b)')).toThrow('sum by (a (b)');
});

test('docs/observability.md lists each metric with its unit and its description', () => {
  const page = readFileSync(new URL('../../docs/observability.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| `(fencepost\.\S+)` +\| \S+ +\| `(\S+?)` +\| (.+?) +\|/gm)];
  const listed = new Map(rows.map(([, name, unit, text]) => [name, `${unit} ${text}`]));
  expect(listed).toEqual(described());
});

/** The metrics, with their units and descriptions. */
function described(): Map<string, string> {
  const found = new Map<string, string>();
  const create = (name: string, { unit, description }: { unit: string; description: string }): void =>
    void found.set(name, `${unit} ${description}`);
  instrumentsOf({
    createHistogram: create,
    createCounter: create,
    createUpDownCounter: create,
  } as never);
  return found;
}

function seriesOf(text: string): Scrape {
  const found: Scrape = new Map();
  for (const [, name = '', labels = ''] of text.matchAll(/^(\w+)(?:\{(.*)\})? \S+$/gm)) {
    const known = found.get(name) ?? new Set();
    found.set(name, known);
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) known.add(label);
  }
  return found;
}

/** What stands for a variable of Grafana is no PromQL. */
function read(expression: string): Query {
  const text = expression.replaceAll('$__rate_interval', '1m').replaceAll('$family', '.*');
  const metrics: string[] = [];
  const labels: string[] = [];
  parser.parse(text).iterate({
    enter({ name, from, to, type, node }) {
      if (type.isError) throw new Error(`${text}: no PromQL from place ${from} on`);
      const part = text.slice(from, to);
      if (name === 'LabelName') labels.push(part);
      if (name === 'Identifier' && node.parent?.name === 'VectorSelector') metrics.push(part);
    },
  });
  return { metrics, labels };
}
