/**
 * A program whose locks can be watched: `npm run example:observability`, then look at the address that it prints, or let
 * Prometheus scrape it and import `dashboard.json` into Grafana. Ctrl-C ends it.
 */
import { migrate } from 'fencepost/migrate';
import pg from 'pg';
import { startEmbedded } from '../../test/servers/embedded.ts';
import { serveMetrics } from './telemetry.ts';
import { tables, work } from './work.ts';

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());

/** A database of the caller's, or a server of its own. */
await using server = process.env.DATABASE_URL === undefined ? await startEmbedded() : undefined;
const connection = server?.url ?? String(process.env.DATABASE_URL);
await migrate({ connection });
await using metrics = await serveMetrics(Number(process.env.PORT ?? 9464));
const pool = new pg.Pool({ connectionString: connection });
pool.on('error', () => {});
await pool.query(tables);
console.log(`Metrics are at ${metrics.url}. Ctrl-C ends it.`);
await work(pool, stopping.signal);
await pool.end();
console.log('Everything is released.');
