import { randomUUID } from 'node:crypto';
import { Fencepost } from 'fencepost';
import { expect, test } from 'vitest';
import { connect } from '../support/clients.ts';
import { createDatabase } from '../support/database.ts';
import { rounds, tell, within } from '../support/figures.ts';
import { type Link, startProxy } from '../support/proxy.ts';
import { blockedIn } from '../support/sessions.ts';
import { until } from '../support/until.ts';
import { raceForTokens } from './token-order.ts';

test('the tokens of a lease rise in the order of its grants', {
  ...within(60_000),
  tags: ['F25'],
}, async () => {
  await using database = await createDatabase();
  const { figures, violations } = await raceForTokens(database.url, { rounds: rounds(300), sessions: 8 });
  tell(figures);
  expect(violations).toEqual([]);
});

test('who was held up at the row has a greater token than who had the lease meanwhile', {
  tags: ['F25'],
}, async () => {
  await using database = await createDatabase();
  await using clients = await connect(database, 2);
  const [first, late] = clients;
  const open = async (): Promise<string> =>
    (await first.query(`select fencepost.holder_open('1 hour', '') as id`)).rows[0].id;
  const holders = [await open(), await open()];
  const take = (client: typeof first, holder: string | undefined): Promise<string> =>
    client
      .query(
        `select tokens[1] as token from fencepost.lease_acquire($1, 0, null, '{""}', '{one}', array[$2::uuid])`,
        [holder, randomUUID()],
      )
      .then(({ rows }) => rows[0].token);
  const release = (token: string) =>
    first.query(`select fencepost.lease_release($1, '{""}', '{one}', '{0}', array[$2::bigint])`, [
      holders[0],
      token,
    ]);
  const tokens = [await take(first, holders[0])];
  await release(tokens[0] as string);
  // Whatever the late one does before it looks for the row, it has done; the other one takes and gives back meanwhile.
  await first.query('begin; lock table fencepost.lease in exclusive mode');
  const taking = take(late, holders[1]);
  await blockedIn(database, 'lease_acquire');
  tokens.push(await take(first, holders[0]));
  await release(tokens[1] as string);
  await first.query('commit');
  tokens.push(await taking);
  const numbers = tokens.map(BigInt);
  expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => (a < b ? -1 : 1)));
});

test('whose request was held up in the network has a greater token than who had the lease meanwhile', {
  tags: ['F25'],
}, async () => {
  await using database = await createDatabase();
  await using proxy = await startProxy(database.url);
  await using late = new Fencepost({ connection: proxy.url });
  await using other = new Fencepost({ connection: database.url });
  const first = await late.leases.acquire('one');
  await first.release();
  const held: Link[] = [];
  proxy.tap = ({ link, direction, about }) => {
    if (direction !== 'request' || !about('lease_acquire')) return 'pass';
    held.push(link);
    return 'freeze';
  };
  const taking = late.leases.acquire('one');
  await until('its request is under way', () => held.length > 0);
  const meanwhile = await other.leases.acquire('one');
  await meanwhile.release();
  proxy.tap = () => 'pass';
  for (const link of held) link.thaw();
  const last = await taking;
  expect([first.token < meanwhile.token, meanwhile.token < last.token]).toEqual([true, true]);
});
