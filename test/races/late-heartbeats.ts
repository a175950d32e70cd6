/**
 * Clients that speak the lease protocol in SQL, with heartbeats that come around the expiry, early or late at random,
 * against each other as eager takers. A client believes that it holds from the answer of its acquire until
 * `sent + ttl - margin` of its last confirmed heartbeat. All clocks are those of one process, so beliefs compare.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { marginOf } from '../../src/core/handle.ts';
import { inversions, recordGrants } from '../support/grants.ts';
import { Random } from '../support/random.ts';
import { type Findings, script } from '../support/script.ts';

export interface LateHeartbeats {
  /** Heartbeats to send, most of them around the expiry. */
  rounds: number;
  clients: number;
  resources: number;
  /** Milliseconds. */
  ttl: number;
}

/** Who believes to hold one resource, until when. */
interface Belief {
  readonly client: number;
  readonly token: bigint;
  until: number;
}

export async function raceHeartbeats(url: string, options: LateHeartbeats): Promise<Findings> {
  const { clients, resources, ttl } = options;
  const random = new Random();
  const violations: string[] = [];
  const beliefs: (Belief | undefined)[] = Array.from({ length: resources }, () => undefined);
  const counts = {
    heartbeats: 0,
    'heartbeats after the expiry': 0,
    'holders lost': 0,
    grants: 0,
    takeovers: 0,
  };
  const now = (): number => performance.now();
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  const query = async <Row extends pg.QueryResultRow>(text: string): Promise<Row[]> =>
    (await pool.query<Row>(text)).rows;
  await recordGrants({ query });

  const live = async (client: number): Promise<void> => {
    const session = new pg.Client({ connectionString: url });
    await session.connect();
    const ask = async <Row extends pg.QueryResultRow>(name: string, text: string, values: unknown[]) =>
      (await session.query<Row>({ name, text, values })).rows[0] as Row;

    /** One holder from its opening to its end, with one lease if it can get one. */
    const holder = async (): Promise<void> => {
      let confirmed = now();
      const open = `select fencepost.holder_open($1, 'race') as id`;
      const { id } = await ask<{ id: string }>('open', open, [`${ttl} milliseconds`]);
      // The server counted its ttl from some moment before the answer: later than this it has expired.
      let expired = now() + ttl;
      let mine: Belief | undefined;
      let sure = true;
      while (sure && counts.heartbeats < options.rounds) {
        if (mine !== undefined && random.below(6) === 0) {
          await release(id, mine);
          mine = undefined;
        }
        // Nine of ten come within a fifth of the ttl around the expiry, the others well before it.
        const at = confirmed + ttl * (random.below(10) > 0 ? 0.9 + random.next() * 0.2 : random.next() / 2);
        while (mine === undefined && now() < at) {
          mine = await take(id, confirmed + ttl - marginOf(ttl));
          await delay(random.next() * 4);
        }
        if (at > now()) await delay(at - now());
        const sent = now();
        counts.heartbeats += 1;
        if (sent > expired) counts['heartbeats after the expiry'] += 1;
        const beat = await ask<{ alive: boolean }>('beat', 'select alive from fencepost.holder_beat($1)', [
          id,
        ]);
        if (beat.alive && sent > expired)
          violations.push(`a holder was revived ${sent - expired} ms too late`);
        sure = beat.alive;
        if (!sure) break;
        confirmed = sent;
        expired = now() + ttl;
        if (mine !== undefined) extend(mine, sent + ttl - marginOf(ttl));
      }
      if (!sure) counts['holders lost'] += 1;
      if (!sure && mine !== undefined && mine.until > now()) {
        violations.push(
          `client ${client} was told of its end ${mine.until - now()} ms before it stopped to believe`,
        );
      }
    };

    const take = async (id: string, until: number): Promise<Belief | undefined> => {
      const resource = random.below(resources);
      const name = `r${resource}`;
      const text = `select * from fencepost.lease_acquire($1, 0, null, '{""}', array[$2], array[$3::uuid])`;
      const answer = await ask<{ tokens: string[] | null }>('take', text, [id, name, randomUUID()]).catch(
        (error: pg.DatabaseError) => {
          if (error.code !== 'FP002') throw error;
          return { tokens: null };
        },
      );
      const [token] = answer.tokens ?? [];
      if (token === undefined) return undefined;
      // An answer that comes after the holder's deadline is no grant: another may have been told of his before it.
      if (until <= now()) return undefined;
      counts.grants += 1;
      const belief: Belief = { client, token: BigInt(token), until };
      const before = beliefs[resource];
      if (before !== undefined) {
        if (before.client !== client) counts.takeovers += 1;
        if (before.token >= belief.token) violations.push(`${name}: token ${token} after ${before.token}`);
        if (before.until > now()) {
          violations.push(
            `${name}: ${token} was granted while ${before.token} was believed in for ${before.until - now()} ms`,
          );
        }
      }
      beliefs[resource] = belief;
      return belief;
    };

    /** A belief that was given up, or passed on, and comes back. */
    const extend = (mine: Belief, until: number): void => {
      const resource = beliefs.indexOf(mine);
      mine.until = until;
      if (resource === -1 && until > now()) {
        violations.push(`client ${client} believes again in ${mine.token}, which another has by now`);
      }
    };

    const release = async (id: string, mine: Belief): Promise<void> => {
      mine.until = now();
      const resource = beliefs.indexOf(mine);
      if (resource === -1) return;
      const text = `select fencepost.lease_release($1, '{""}', array[$2], '{0}', array[$3::bigint])`;
      await ask('release', text, [id, `r${resource}`, String(mine.token)]);
    };

    while (counts.heartbeats < options.rounds) await holder();
    await session.end();
  };

  await Promise.all(Array.from({ length: clients }, (_, client) => live(client)));
  // Also of grants whose answers nobody believed.
  const inverted = await inversions({ query });
  await pool.end();
  violations.push(...inverted.map((row) => `out of order: ${JSON.stringify(row)}`));
  return { figures: { ...counts, seed: random.seed }, violations };
}

await script(import.meta, { rounds: 10_000, clients: 24, resources: 6, ttl: 60 }, raceHeartbeats);
