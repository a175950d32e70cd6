import { readdirSync, readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import type pg from 'pg';

/** What a server has used so far. */
export interface Usage {
  /** Seconds of processor time of all its processes; not known where there is no /proc. */
  readonly processor: number;
  /** Transactions of Postgres, commands of Redis. */
  readonly statements: number;
  /** Bytes of WAL, or of the append-only file. */
  readonly log: number;
}

/** The clock of /proc counts in hundredths, on every Linux that Node runs on. */
const ticks = 100;

export async function postgresUsage(pool: pg.Pool): Promise<Usage> {
  const { rows } = await pool.query(`
    select pg_backend_pid() as pid, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8 as log,
      (select sum(xact_commit + xact_rollback)::float8 from pg_stat_database) as statements`);
  const [{ pid, log, statements }] = rows;
  return { processor: familyTime(pid), statements, log };
}

export async function redisUsage(url: string): Promise<Usage> {
  const client = new Redis(url);
  const info = await client.info();
  client.disconnect();
  const read = (name: string): number => Number(new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1] ?? 0);
  return {
    processor: read('used_cpu_sys') + read('used_cpu_user'),
    statements: read('total_commands_processed'),
    log: read('aof_current_size'),
  };
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  /** Its own time, and that of children that it has waited for. */
  readonly time: number;
  readonly ended: number;
}

/** Time of the server that a backend belongs to: the postmaster, its present children, and those that have ended. */
function familyTime(backend: number): number {
  const all = processes();
  const postmaster = all.find(({ pid }) => pid === backend)?.parent;
  return all
    .filter(({ pid, parent }) => pid === postmaster || parent === postmaster)
    .reduce((sum, { pid, time, ended }) => sum + time + (pid === postmaster ? ended : 0), 0);
}

function processes(): Process[] {
  try {
    return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? readProcess(name) : []));
  } catch {
    return [];
  }
}

function readProcess(name: string): Process[] {
  try {
    const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
    // The name of the program may have spaces and brackets: what counts stands behind the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const at = (place: number): number => Number(fields[place]);
    const time = (at(11) + at(12)) / ticks;
    return [{ pid: Number(name), parent: at(1), time, ended: (at(13) + at(14)) / ticks }];
  } catch {
    return [];
  }
}
