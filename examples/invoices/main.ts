/**
 * Invoices of many tenants, sent by three worker processes: `npm run example:invoices`. One tenant floods the table, one
 * worker is frozen in the middle of its work for longer than its claims live. At the end the ledger is counted.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { migrate } from 'fencepost/migrate';
import { startEmbedded } from '../../test/servers/embedded.ts';
import { startWorker, type Worker } from './crew.ts';
import { openInvoices, tables, ttl } from './invoices.ts';
import { report } from './report.ts';

const flood = 2_000;
const quietTenants = 20;

/** A database of the caller's, which it leaves full, or a server of its own. */
async function run(url: string): Promise<boolean> {
  await migrate({ connection: url });
  const { pool, invoices, close } = openInvoices(url);
  const workers: Worker[] = [];
  try {
    await pool.query(tables);
    await invoices.ensure({ wake: true });
    await pool.query(
      `insert into invoice (id, tenant, amount)
       select n, case when n <= $1 then 'flood & co' else 'tenant ' || n % $2 end, n % 90 + 10
       from generate_series(1, $1 + 3 * $2) n`,
      [flood, quietTenants],
    );
    console.log(
      `${flood + 3 * quietTenants} invoices of ${quietTenants + 1} tenants; "flood & co" has ${flood}.`,
    );

    const frozen = startWorker(url, 1, true);
    workers.push(frozen);
    const { invoices: held } = await frozen.next('holding');
    frozen.process.kill('SIGSTOP');
    console.log(
      `Worker 1 has called the mail gateway for ${held.length} invoices, and is frozen before it completes them.`,
    );

    workers.push(startWorker(url, 2, false), startWorker(url, 3, false));
    console.log(`Workers 2 and 3 begin. The claims of worker 1 live for ${ttl / 1_000} s without it.`);
    for (;;) {
      const { rows } = await pool.query('select count(*)::integer as due from invoice where state = $1', [
        'due',
      ]);
      if (rows[0].due === 0) break;
      await delay(50);
    }
    console.log('All invoices are sent. Worker 1 wakes up, and goes on as if nothing had been.');
    frozen.process.kill('SIGCONT');
    frozen.process.send('go on');
    for (const { process } of workers) process.send('stop');
    for (const worker of workers) {
      const { completed, refused } = await worker.next('stopped');
      console.log(`Worker ${worker.number}: ${completed} completed, ${refused} refused.`);
    }
    return await report(pool);
  } finally {
    // SIGKILL also ends a process that is frozen.
    for (const { process } of workers) process.kill('SIGKILL');
    await close();
  }
}

await using server = process.env.DATABASE_URL === undefined ? await startEmbedded() : undefined;
const held = await run(server?.url ?? String(process.env.DATABASE_URL));
console.log(
  held ? '\nEach invoice was sent once, as far as the ledger goes.' : '\nNOT each invoice was sent once.',
);
process.exitCode = held ? 0 : 1;
