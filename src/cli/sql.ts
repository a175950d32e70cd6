import type { Command } from 'commander';
import { identifier } from '../sql/statement.ts';

export function addSql(program: Command): void {
  program
    .command('sql')
    .description(
      'Prints the protocol as a script for psql: what other languages send to take part. Needs no database.',
    )
    .option('--schema <name>', 'the schema of Fencepost', 'fencepost')
    .addHelpText(
      'after',
      `
Examples:
  $ fencepost sql | psql -v ON_ERROR_STOP=1 shop
  $ fencepost sql --schema locks | less`,
    )
    .action(({ schema }: { schema: string }) => void process.stdout.write(protocol(identifier(schema))));
}

/** Each statement on its own, in the order in which a client sends it; psql keeps what one needs of another. */
export function protocol(schema: string): string {
  return `-- The protocol of leases, step by step. Run it with psql, each statement as its own transaction.

-- A holder is a living process: it outlives the process by its ttl. Send this once.
select ${schema}.holder_open(interval '30 seconds', 'psql') as holder \\gset

-- Its heartbeat, every third of the ttl. Count your own deadline from the moment you SENT it, a tenth of the ttl less.
-- alive false: it has expired, all that it held is lost; open a new one.
select * from ${schema}.holder_beat(:'holder');

-- Leases for this holder, several at once if you like. A nonce is new for each call, and the same when you repeat a call
-- whose answer was lost: then the token is the same, too. granted counts the arguments from 1; what is not in it somebody
-- else holds, for held_for milliseconds unless he renews.
select gen_random_uuid() as nonce \\gset
select (tokens)[1] as token, (slots)[1] as slot
from ${schema}.lease_acquire(:'holder', 0, null, array[''], array['example'], array[:'nonce'::uuid]) \\gset

-- Before what the lease protects, in the same transaction: SQLSTATE FP001 when somebody else has got it since. Until the
-- transaction ends nobody can take it.
begin;
select ${schema}.guard('', 'example', :token, :slot);
-- ... your writes ...
commit;

-- The end: of the lease, and of the holder with all that it still has.
select ${schema}.lease_release(:'holder', array[''], array['example'], array[:slot], array[:token]);
select ${schema}.holder_close(:'holder');

-- Session and transaction locks are advisory locks of Postgres, by the number of a key.
begin;
select pg_advisory_xact_lock(${schema}.key('invoice', '42'));
commit;

-- To look at: leases, holders, waiters, and the numbers of the moment.
select * from ${schema}.leases where held limit 20;
select * from ${schema}.holders limit 20;
select * from ${schema}.waiters limit 20;
select * from ${schema}.overview();
`;
}
