import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Asset {
  readonly type: string;
  readonly body: Buffer;
  readonly tag: string;
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The files of the page by their paths, and the library of charts from its own package. They stay in memory. */
export function readAssets(): ReadonlyMap<string, Asset> {
  const folder = fileURLToPath(new URL('../../page/', import.meta.url));
  const require = createRequire(import.meta.url);
  const files = readdirSync(folder)
    .filter((name) => extname(name) in types)
    .map((name): [string, string] => [name === 'index.html' ? '/' : `/${name}`, `${folder}${name}`]);
  files.push(['/uplot.js', require.resolve('uplot/dist/uPlot.esm.js')]);
  files.push(['/uplot.css', require.resolve('uplot/dist/uPlot.min.css')]);
  return new Map(
    files.map(([path, file]) => {
      const body = readFileSync(file);
      const tag = `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"`;
      return [path, { type: types[extname(file)] ?? '', body, tag }];
    }),
  );
}
