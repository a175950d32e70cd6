import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Claim } from '../claim/claim.ts';
import type { RowClaims } from '../claim/row-claims.ts';
import type { WorkOptions } from '../claim/work-options.ts';
import { ArgumentError } from '../core/errors.ts';

/** Claims as the command line uses them: of whatever table. */
export type AnyRow = Record<string, unknown>;
export type AnyTables = Record<string, AnyRow>;
export type AnyClaims = RowClaims<AnyTables, string>;
type AnyClaim = Claim<AnyRow, AnyTables>;

/** What a module exports that says what to work on, each by its name or as parts of its default export. */
export interface WorkModule {
  readonly claims: AnyClaims;
  readonly handler: ((claim: AnyClaim) => Promise<unknown>) | undefined;
  readonly options: WorkOptions<AnyRow, AnyTables>;
  /** Closes what the module has opened. */
  close(): Promise<void>;
}

/** Runs the module in this process. */
export async function loadWorkModule(path: string): Promise<WorkModule> {
  const { default: whole, ...named } = await importOf(path);
  const exported: Record<string, unknown> = { ...(isRecord(whole) ? whole : {}), ...named };
  const { claims, handler, options, close } = exported;
  const given = `exports ${Object.keys(exported).join(', ') || 'nothing'}`;
  if (!isRecord(claims) || typeof claims.work !== 'function' || typeof claims.ddl !== 'function') {
    throw new ArgumentError('module', 'one that exports `claims`, made by fencepost.claims.define()', given);
  }
  if (handler !== undefined && typeof handler !== 'function') {
    throw new ArgumentError('module', 'a `handler` that is a function', handler);
  }
  if (options !== undefined && !isRecord(options)) {
    throw new ArgumentError('module', '`options` as work() takes them', options);
  }
  if (close !== undefined && typeof close !== 'function') {
    throw new ArgumentError('module', 'a `close` that is a function', close);
  }
  return {
    claims: claims as unknown as AnyClaims,
    handler: handler as WorkModule['handler'],
    options: options ?? {},
    close: async () => void (await close?.()),
  };
}

async function importOf(path: string): Promise<Record<string, unknown>> {
  try {
    return await import(pathToFileURL(resolve(path)).href);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new ArgumentError('module', `a module that can be loaded (${text})`, path);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/**
 * Runs what a command does with a module, closes that, and ends the process: what a module leaves open, such as a pool,
 * would keep it alive.
 */
export async function withModule(path: string, run: (module: WorkModule) => Promise<void>): Promise<void> {
  const module = await loadWorkModule(path);
  try {
    await run(module);
  } finally {
    await module.close();
  }
  for (const stream of [process.stdout, process.stderr]) await new Promise((done) => stream.write('', done));
  process.exit();
}
