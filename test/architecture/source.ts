import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAst } from 'vitest/node';

/** A file of `src`, with what the rules look at. `path` is relative to `src`. */
export interface SourceFile {
  readonly path: string;
  readonly lines: number;
  /** What it imports or exports from, types included; files of `src` by their path, the rest as it is written. */
  readonly imports: readonly string[];
  /** Those of them that are still there when the types are gone. */
  readonly loads: readonly string[];
  /** The named bindings it takes from each module, `default` and `*` among them. */
  readonly bindings: readonly { readonly from: string; readonly name: string }[];
  /** What it speaks of: `process.env` stands for `process` and `process.env`, `new Date()` for `Date` and `new Date`. */
  readonly uses: ReadonlySet<string>;
}

const root = fileURLToPath(new URL('../../src', import.meta.url));

/** Everything under `src`, by its path. */
export function readSource(): Record<string, string> {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map(({ parentPath, name }) => {
      const file = join(parentPath, name);
      return [relative(root, file).split(sep).join('/'), readFileSync(file, 'utf8')];
    }),
  );
}

export function parse(path: string, text: string): SourceFile {
  const imports = new Set<string>();
  const loads = new Set<string>();
  const bindings: { from: string; name: string }[] = [];
  const uses = new Set<string>();
  visit(parseAst(text, { lang: 'ts' }) as unknown as Node, (node) => {
    const from = node.source?.value;
    if (typeof from === 'string') {
      imports.add(from.startsWith('.') ? resolve(path, from) : from);
      if (node.importKind !== 'type' && node.exportKind !== 'type') loads.add(from);
      for (const specifier of node.specifiers ?? []) {
        const kind = { ImportDefaultSpecifier: 'default', ImportNamespaceSpecifier: '*' }[specifier.type];
        const named = specifier.imported ?? specifier.local;
        bindings.push({ from, name: kind ?? named?.name ?? String(named?.value) });
      }
    }
    if (node.type === 'Identifier' && node.name !== undefined) uses.add(node.name);
    if (node.type === 'MemberExpression' && node.object?.type === 'Identifier') {
      const member = String(node.property?.name ?? node.property?.value);
      uses.add(node.object.name === 'globalThis' ? member : `${node.object.name}.${member}`);
    }
    if (node.type === 'NewExpression' && node.callee?.name !== undefined) uses.add(`new ${node.callee.name}`);
  });
  return {
    path,
    lines: text.split('\n').length - 1,
    imports: [...imports],
    loads: [...loads],
    bindings,
    uses,
  };
}

function resolve(importer: string, specifier: string): string {
  const url = new URL(specifier, `file:///src/${importer}`);
  return url.pathname.startsWith('/src/') ? url.pathname.slice('/src/'.length) : `..${url.pathname}`;
}

/** What the rules need of a node of the syntax tree, in the ESTree shape. */
interface Node {
  readonly type: string;
  readonly name?: string;
  readonly value?: unknown;
  readonly computed?: boolean;
  readonly source?: Node | null;
  readonly importKind?: string;
  readonly exportKind?: string;
  readonly specifiers?: readonly Node[];
  readonly imported?: Node;
  readonly local?: Node;
  readonly object?: Node;
  readonly property?: Node;
  readonly callee?: Node;
}

/** Visits every node but names that stand for no variable: of members, of properties and of imports. */
function visit(node: Node, look: (node: Node) => void): void {
  look(node);
  for (const [field, child] of Object.entries(node)) {
    const names = (field === 'property' || field === 'key') && node.computed !== true;
    if (names || field === 'specifiers') continue;
    for (const one of Array.isArray(child) ? child : [child]) {
      if (typeof one === 'object' && one !== null && typeof one.type === 'string') visit(one, look);
    }
  }
}
