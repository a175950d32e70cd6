/** One worker process: sends invoices until its parent says stop. */
import { type Claim, StaleTokenError } from 'fencepost';
import { openInvoices, type Tables } from './invoices.ts';

/** What a worker tells its parent. */
export type Report =
  /** It has invoices in its hands, and pauses until it is told to go on: here it will be frozen. */
  | { readonly type: 'holding'; readonly invoices: readonly number[] }
  | { readonly type: 'stopped'; readonly completed: number; readonly refused: number };

const [url = '', number = '', pausing = ''] = process.argv.slice(2);
const worker = Number(number);
const { db, invoices, close } = openInvoices(url);
const stop = Promise.withResolvers<void>();
const resume = Promise.withResolvers<void>();
process.on('message', (word) => (word === 'stop' ? stop.resolve() : resume.resolve()));
process.on('disconnect', () => process.exit());

const concurrency = 8;
const held: number[] = [];

async function send(claim: Claim<Tables['invoice'], Tables>): Promise<void> {
  const { id, tenant, amount } = claim.row;
  await db.insertInto('gateway_call').values({ invoice: id, worker }).execute();
  if (pausing === 'pauses' && held.length < concurrency) {
    held.push(id);
    if (held.length === concurrency) process.send?.({ type: 'holding', invoices: held } satisfies Report);
    await resume.promise;
  }
  // The ledger and the completion commit together, or neither does.
  await claim.complete(async (trx) => {
    await trx
      .insertInto('ledger')
      .values({ invoice: id, tenant, amount, worker, token: claim.token })
      .execute();
  });
}

let refused = 0;
const workers = invoices.work(
  {
    concurrency,
    wake: true,
    poll: '200ms',
    onEvent: (event) => {
      if (event.type === 'stale' && event.error instanceof StaleTokenError) refused += 1;
    },
  },
  send,
);
await stop.promise;
await workers.stop();
process.send?.({ type: 'stopped', completed: workers.stats().completed, refused } satisfies Report);
await close();
process.disconnect();
