import pg from 'pg';
import { argumentOfChild, type Child, startChild, tellParent } from './child.ts';

interface Order {
  readonly url: string;
  /** Statements to run first. */
  readonly setUp: string;
  /** Whether it listens to errors of its connection. */
  readonly listens: boolean;
  /** Milliseconds after which it notes that a timer has run, if it does. */
  readonly timer?: number;
}

/** What it tells: its server process, and from then on what has happened, each time something has. */
export type Report = { pid: number } | { events: string[] };

/** The code with which it ends after an error that nobody caught. */
export const uncaught = 70;

/** A process with one connection of `pg` that does nothing. */
export function startPlainProcess(order: Order): Child {
  return startChild(new URL(import.meta.url), order);
}

/** Is run by `startPlainProcess`. */
async function live({ url, setUp, listens, timer }: Order): Promise<void> {
  process.once('uncaughtException', () => process.exit(uncaught));
  const client = new pg.Client({ connectionString: url });
  const events: string[] = [];
  const note = (event: string): void => {
    events.push(event);
    tellParent({ events });
  };
  await client.connect();
  await client.query(setUp);
  const { rows } = await client.query('select pg_backend_pid() as pid');
  if (listens) {
    client.on('error', () => note('error'));
    client.on('end', () => note('end'));
  }
  if (timer !== undefined) setTimeout(() => note('timer'), timer);
  tellParent({ pid: rows[0].pid });
}

if (process.argv[1] === import.meta.filename) await live(argumentOfChild<Order>());
