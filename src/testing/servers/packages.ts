/** A package that only those need who want this kind of server. */
export function missing(name: string, cause: unknown): Error {
  return new Error(`the package ${name} is not there: npm install --save-dev ${name}`, { cause });
}

/** Whether a module was not found, and not merely failed to load. */
export function isMissing(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
}
