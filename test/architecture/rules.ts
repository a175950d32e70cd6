import { basename, dirname } from 'node:path/posix';
import { parse, type SourceFile } from './source.ts';

/** What `src` breaks of a rule, one line for each breach. */
export type Rule = (source: Readonly<Record<string, string>>) => string[];

/** From the top to the bottom; what stands in one row may not import each other. */
const layers = [
  ['cli', 'testing'],
  ['dashboard'],
  ['entry'],
  ['redlock', 'opentelemetry'],
  ['fencepost.ts'],
  ['recipe'],
  ['advisory', 'lease', 'claim'],
  ['holder'],
  ['session'],
  ['sql'],
  ['core'],
];

const clock = 'core/clock.ts';
const vague = ['util', 'utils', 'helper', 'helpers', 'common', 'lib', 'misc'];

export const importsGoDownwards: Rule = (source) =>
  filesOf(source).flatMap((file) =>
    file.imports
      .filter((to) => to in source && partOf(to) !== partOf(file.path))
      .filter((to) => layerOf(to) <= layerOf(file.path))
      .map((to) => `${file.path} imports ${to}, which stands not below it`),
  );

/** Entries are the doors for users: nothing inside goes through one of them. */
export const importsStayInside: Rule = (source) =>
  filesOf(source).flatMap((file) =>
    file.imports
      .filter((to) => to.startsWith('..') || to === 'fencepost' || to.startsWith('fencepost/'))
      .map((to) => `${file.path} imports ${to}, which is no file of src`),
  );

export const noCycles: Rule = (source) => {
  const imports = new Map(filesOf(source).map(({ path, imports }) => [path, imports]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const follow = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' > '));
    if (done.has(path)) return;
    done.add(path);
    for (const next of imports.get(path) ?? []) follow(next, [...trail, path]);
  };
  for (const path of imports.keys()) follow(path, []);
  return cycles;
};

/** A package that only these files may import. */
export const importedOnlyIn =
  (name: string, ...places: readonly string[]): Rule =>
  (source) =>
    filesOf(source)
      .filter(({ imports }) => imports.some((to) => to === name || to.startsWith(`${name}/`)))
      .filter(({ path }) => !places.includes(path))
      .map(({ path }) => `${path} imports ${name}, which belongs to ${places.join(', ')}`);

/** A package that one file may load, and of which one folder may know the types: not everybody has it. */
export const onlyTypesOf =
  (name: string, entry: string, folder: string): Rule =>
  (source) =>
    filesOf(source)
      .filter(({ path, imports }) => path !== entry && imports.includes(name))
      .filter(({ path, loads }) => !path.startsWith(`${folder}/`) || loads.includes(name))
      .map(({ path }) => `${path} imports ${name}: ${entry} may, and ${folder} its types`);

export const noConsoleOrProcess: Rule = (source) =>
  filesOf(source)
    .filter(({ path }) => !isCommandLine(path) && !isTestingKit(path))
    .flatMap(({ path, uses, bindings }) => {
      const whole = bindings
        .filter(
          ({ from, name }) => /^(node:)?(process|console)$/.test(from) && ['default', '*'].includes(name),
        )
        .map(({ from }) => `all of ${from}`);
      return [...['console', 'process'].filter((name) => uses.has(name)), ...whole].map(
        (name) => `${path} uses ${name}, which belongs to the CLI and the testing kit`,
      );
    });

export const onlyTheClockReadsTime: Rule = (source) =>
  filesOf(source)
    .filter(({ path }) => path !== clock)
    .flatMap(({ path, uses, imports }) => {
      const names = ['Date.now', 'new Date', 'performance', 'setTimeout', 'setInterval'];
      const modules = imports.filter((to) => /^(node:)?(perf_hooks|timers)(\/promises)?$/.test(to));
      return [...names.filter((name) => uses.has(name)), ...modules].map(
        (name) => `${path} uses ${name}, which belongs to ${clock}`,
      );
    });

export const namesSayWhatIsInside: Rule = (source) =>
  Object.keys(source)
    .filter((path) => path.split('/').some((part) => vague.includes(part.replace(/\..*$/, '').toLowerCase())))
    .map((path) => `${path} has a name that says nothing`);

export const filesAreShort: Rule = (source) => {
  const lines = filesOf(source).map((file) => file.lines);
  const median = lines.toSorted((a, b) => a - b)[Math.floor(lines.length / 2)] ?? 0;
  const long = filesOf(source).filter((file) => file.lines > 300);
  return [
    ...long.map(({ path, lines }) => `${path} has ${lines} lines, more than 300`),
    ...(median > 130 ? [`the median file has ${median} lines, more than 130`] : []),
  ];
};

/** A page names every file of its folder at the start of a row or of a point, and no other. */
export const foldersHaveAPage: Rule = (source) => {
  const files = filesOf(source).filter(({ path }) => dirname(path) !== '.');
  const folders = Map.groupBy(files, ({ path }) => dirname(path));
  return [...folders].flatMap(([folder, inside]) => {
    const page = source[`${folder}/README.md`];
    if (page === undefined) return [`${folder} has no README.md`];
    const names = inside.map(({ path }) => basename(path));
    const starts = [...page.matchAll(/^[|-] (?:`\S+\.ts`(?:, )?)+/gm)].join();
    const listed = [...starts.matchAll(/`(\S+?)`/g)].map(([, name = '']) => name);
    const lines = page.split('\n').length - 1;
    return [
      ...(lines > 100 ? [`${folder}/README.md has ${lines} lines, more than 100`] : []),
      ...names
        .filter((name) => !listed.includes(name))
        .map((name) => `${folder}/README.md does not list ${name}`),
      ...listed.filter((name) => !names.includes(name)).map((name) => `${folder}/README.md lists ${name}`),
    ];
  });
};

const parsed = new WeakMap<object, SourceFile[]>();

function filesOf(source: Readonly<Record<string, string>>): SourceFile[] {
  const known = parsed.get(source);
  if (known !== undefined) return known;
  const files = Object.entries(source)
    .filter(([path]) => path.endsWith('.ts'))
    .map(([path, text]) => parse(path, text));
  parsed.set(source, files);
  return files;
}

/** The folder right under `src`; each file next to them is a part of its own. */
function partOf(path: string): string {
  if (isTestingKit(path)) return 'testing';
  return isCommandLine(path) ? 'cli' : (path.split('/')[0] ?? path);
}

function layerOf(path: string): number {
  const part = partOf(path);
  const layer = layers.findIndex((parts) => parts.includes(part));
  if (layer !== -1) return layer;
  if (part !== path) throw new Error(`${path} stands in no known layer`);
  return layers.findIndex((parts) => parts.includes('entry'));
}

function isTestingKit(path: string): boolean {
  return path === 'testing.ts' || path.startsWith('testing/');
}

function isCommandLine(path: string): boolean {
  return path === 'cli.ts' || path.startsWith('cli/');
}
