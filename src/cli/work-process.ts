/** A process of `fencepost claims work`. Its parent says when to stop; it says how that went. */
import type { WorkEvent } from '../claim/tally.ts';
import { milliseconds } from '../core/duration.ts';
import { LockLostError } from '../core/errors.ts';
import { stopWord, type WorkOrder, type WorkReport } from './work-messages.ts';
import { type AnyRow, type AnyTables, loadWorkModule } from './work-module.ts';

const toldToStop = new Promise<void>((resolve) => {
  process.on('message', (word) => word === stopWord && resolve());
  process.on('disconnect', resolve);
});

async function main({ module: path, options }: WorkOrder): Promise<WorkReport> {
  let begun = false;
  try {
    const module = await loadWorkModule(path);
    if (module.handler === undefined) throw new Error('the module exports no `handler`');
    let aborted = 0;
    const workers = module.claims.work(
      {
        onError: (error) => console.error(`worker ${process.pid}: ${textOf(error)}`),
        ...module.options,
        ...options,
        onEvent: (event: WorkEvent<AnyRow, AnyTables>) => {
          const { reason } = event.claim.signal;
          if (event.type === 'stale' && reason instanceof LockLostError && reason.reason === 'shutdown')
            aborted += 1;
          module.options.onEvent?.(event);
        },
      },
      module.handler,
    );
    begun = true;
    const { grace = '30s' } = { ...module.options, ...options };
    process.send?.({ type: 'working', grace: milliseconds('grace', grace) } satisfies WorkReport);
    await Promise.race([toldToStop, workers.finished]);
    await workers.stop();
    const report: WorkReport = { type: 'stopped', stats: workers.stats(), aborted };
    await module.close();
    return report;
  } catch (error) {
    return { type: 'failed', message: textOf(error), usage: !begun };
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

// A terminal sends its signals to all processes of the group: here only the parent's word counts.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});

const report = await main(JSON.parse(process.argv[2] ?? '{}') as WorkOrder);
const leave = (): void => process.exit(report.type === 'stopped' ? 0 : 1);
if (process.connected) process.send?.(report, leave);
else leave();
