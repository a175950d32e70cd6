import { readFileSync } from 'node:fs';
import { posix } from 'node:path';

/**
 * What an entry exports, sorted by name, as the compiler declares it: without comments, private and internal members.
 * What these refer to without its being exported is listed too.
 *
 * It reads the text of declaration files, in which the compiler begins each declaration at the left margin.
 */
export function listing(entry: string): string {
  const listed = new Map<string, string>();
  const list = (name: string, file: string, how: 'value' | 'type' | 'hidden'): void => {
    if (listed.has(name)) return;
    const declaration = declarations(file).get(name);
    if (declaration === undefined) throw new Error(`no declaration of ${name} in ${file}`);
    const asItIs = how === 'value' || (how === 'type' && !declaration.startsWith('export declare'));
    listed.set(name, asItIs ? declaration : declaration.replace(/^(export )?(declare )?/, prefixes[how]));
    for (const used of declaration.match(/\b[A-Z]\w*\b/g) ?? []) {
      const place = importsOf(file).get(used) ?? (declarations(file).has(used) ? file : undefined);
      if (place !== undefined && !exported.has(used)) list(used, place, 'hidden');
    }
  };
  const own = [...declarations(entry)].filter(([, declaration]) => declaration.startsWith('export'));
  const others = namesIn('export', entry);
  const exported = new Set([...own.map(([name]) => name), ...others.map(({ name }) => name)]);
  for (const [name] of own) list(name, entry, 'value');
  for (const { name, file, typeOnly, alias } of others) {
    list(name, file, typeOnly ? 'type' : 'value');
    if (alias !== undefined) listed.set(`${name} as ${alias}`, `export ${name} as ${alias};`);
  }
  return [...listed.keys()]
    .sort()
    .map((name) => `${listed.get(name)}\n`)
    .join('\n');
}

/** A class that is exported as a type cannot be constructed. */
const prefixes = { type: 'export only the type of ', hidden: 'not exported: ' };

interface Name {
  readonly name: string;
  readonly file: string;
  readonly typeOnly: boolean;
  /** The other name that it is exported by. */
  readonly alias: string | undefined;
}

function importsOf(file: string): Map<string, string> {
  return new Map(namesIn('import', file).map(({ name, file }) => [name, file]));
}

/** What stands in statements `export { A, type B } from './file.ts'`, or the same with `import`. */
function namesIn(keyword: 'export' | 'import', file: string): Name[] {
  const statement = new RegExp(`^${keyword} (type )?\\{([^}]*)\\} from '(\\..*?)';$`, 'gm');
  return [...text(file).matchAll(statement)].flatMap(([, types, names = '', from = '']) =>
    names
      .split(',')
      .map((one) => one.trim())
      .filter((one) => one !== '')
      .map((one) => {
        const [name = '', alias] = one.replace(/^type /, '').split(' as ');
        return {
          name,
          file: posix.join(posix.dirname(file), from).replace(/\.ts$/, '.d.ts'),
          typeOnly: types !== undefined || one.startsWith('type '),
          alias,
        };
      }),
  );
}

function declarations(file: string): Map<string, string> {
  const parts = text(file)
    .replace(/^\/\/#.*$|^ *#private;\n/gm, '')
    .split(/^(?=export |declare |interface |type |import )/m);
  const start = /^(?:export )?(?:declare )?(?:abstract )?(?:class|interface|type|function|const) (\w+)/;
  return new Map(
    parts.flatMap((part): [string, string][] => {
      const name = start.exec(part)?.[1];
      return name === undefined ? [] : [[name, part.trim()]];
    }),
  );
}

function text(file: string): string {
  return readFileSync(file, 'utf8');
}
