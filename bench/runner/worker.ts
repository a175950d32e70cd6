/** The other end of `crew.ts`: runs what it is told, one function of a module for each message. */
interface Call {
  readonly id: number;
  readonly module: string;
  readonly name: string;
  readonly values: readonly unknown[];
}

process.on('message', async ({ id, module, name, values }: Call) => {
  try {
    const exported = (await import(module)) as Record<string, (...values: readonly unknown[]) => unknown>;
    const answer = await exported[name]?.(...values);
    process.send?.({ id, answer });
  } catch (error) {
    process.send?.({ id, failed: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
});
process.on('disconnect', () => process.exit());
// A terminal's Ctrl-C reaches everybody: the parent decides.
process.on('SIGINT', () => {});
