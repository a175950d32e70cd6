/** Where rows of our tables are put; a `TestDatabase` is one. */
export interface Ground {
  query(sql: string, values?: unknown[]): Promise<unknown>;
}

/** How many of each kind. */
export interface Crowd {
  readonly leases: number;
  /** In line for the first leases, one each. */
  readonly waiters: number;
  readonly tenants: number;
  /** Processes that hold. Three wait for the first of them, three for each of those, and so on; three more hold nothing. */
  readonly holders: number;
}

/**
 * Leases and those who stand in line for them, as rows: many thousands are there within a second, and nobody's
 * heartbeat has to be in time. The holders expire in one to two hours.
 */
export async function plantCrowd(
  ground: Ground,
  { leases, waiters, tenants, holders }: Crowd,
  schema = 'fencepost',
): Promise<void> {
  await ground.query(
    `select ${schema}.holder_open(interval '2 hours', 'app-' || n || ':' || 100 + n)
     from generate_series(1, $1::integer + 3) n`,
    [holders],
  );
  const app = `(select id, split_part(split_part(application, ':', 1), '-', 2)::integer as number from ${schema}.holder
    where application ~ '^app-[0-9]+:')`;
  await ground.query(`update ${schema}.holder h set expires_at = now() + (60 + a.number % 50) * interval '1 minute'
    from ${app} a where a.id = h.id`);
  await ground.query(
    `insert into ${schema}.lease (tenant, name, token, holder_id, nonce, acquired_at, wanted)
     select 't' || n % $2, ${name}, ${schema}.next_token(), a.id, gen_random_uuid(), now() - n * interval '1 second', n <= $4
     from generate_series(1, $1::integer) n join ${app} a on a.number = 1 + n % $3`,
    [leases, tenants, holders, waiters],
  );
  await ground.query(
    `insert into ${schema}.ticket (tenant, name, holder_id, nonce, shared, since)
     select 't' || n % $2, ${name}, a.id, gen_random_uuid(), false, now() - power(n % 100, 2) * interval '20 ms'
     from generate_series(1, $1::integer) n join ${app} a on a.number =
       case when n % $3 < $3 / 3 + 1 then 2 + 3 * (n % $3) + n / $3 % 3 else $3 + 1 + n % 3 end`,
    [waiters, tenants, holders],
  );
  await ground.query(`analyze ${schema}.lease, ${schema}.holder, ${schema}.ticket`);
}

/** Texts and lists of parts, of five families. */
const name = `case n % 5 when 0 then json_build_array('invoice', n::text)::text when 1 then 'import:' || n
  when 2 then 'nightly report ' || n when 3 then 'sync/' || n else 'mail-' || n end`;
