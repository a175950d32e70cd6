// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts of sources, as they stand there
/** One place of a file: what stands there, and the bug that is put in its place. */
export interface Edit {
  /** From the project on. A function of `sql/` is changed in its migration as well. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** A mistake that a lock on Postgres is known for, how to make it here, and the test that has to notice. */
export interface KnownBug {
  readonly name: string;
  readonly edits: readonly Edit[];
  readonly test: { readonly file: string; readonly name: string };
}

const sql = (name: string, from: string, to: string): Edit => ({ file: `sql/${name}.sql`, from, to });
const src = (name: string, from: string, to: string): Edit => ({ file: `src/${name}.ts`, from, to });
const faults = (file: string, name: string) => ({ file: `test/faults/${file}.test.ts`, name });
const races = (file: string, name: string) => ({ file: `test/races/${file}.test.ts`, name });

const tokens = races('token-order', 'who was held up at the row has a greater token');
const heartbeats = races('late-heartbeats', 'a holder whose heartbeat comes late stays dead');
const grants = (way: string) =>
  races('session-locks', `a wait for several keys that ends by ${way} at one of them`);

/** Without the row's own number, which puts the tokens of one lease in order whatever is drawn. */
const tokenAsDrawn = (drawn: string): Edit =>
  sql('lease_acquire', 'token = greatest(v_token, v_floor, l.token + 1)', `token = ${drawn}`);

export const knownBugs: readonly KnownBug[] = [
  {
    name: 'token from EXCLUDED, drawn before the row is locked',
    edits: [
      sql('lease_acquire', '  perform durable();\n', '  perform durable();\n  v_token := next_token();\n'),
      sql('lease_acquire', '      v_token := next_token();\n      select', '      select'),
      tokenAsDrawn('v_token'),
    ],
    test: tokens,
  },
  {
    name: 'token drawn by the client before the update',
    edits: [
      src(
        'lease/granting',
        'answer = await (asked?.reply ?? this.#context.commands.submit(kind, call));',
        `const draw = { name: 'draw', text: 'select fencepost.next_token() as answer', values: [] };
        const drawn = await this.#context.commands.run(draw);
        answer = await this.#context.commands.submit(kind, { ...call, metadata: String(drawn?.answer) });`,
      ),
      src('lease/leases', 'const plainly = acquisition === undefined', 'const plainly = false'),
      tokenAsDrawn('p_metadata[v_free[f.n]]::bigint'),
    ],
    test: races('token-order', 'whose request was held up in the network has a greater token'),
  },
  {
    name: 'transaction id as token',
    edits: [
      sql(
        'lease_acquire',
        '  perform durable();\n',
        '  perform durable();\n  perform pg_current_xact_id();\n',
      ),
      sql(
        'next_token',
        `return v_era * 17592186044416 + nextval('token');`,
        'return pg_current_xact_id()::text::bigint;',
      ),
      tokenAsDrawn('v_token'),
    ],
    test: tokens,
  },
  {
    name: 'sequence with CACHE 20',
    edits: [
      {
        file: 'migrations/0001_foundation.sql',
        from: 'create sequence token as bigint cache 1;',
        to: 'create sequence token as bigint cache 20;',
      },
    ],
    test: faults('frozen-process', 'a process that is killed leaves its lease until the ttl'),
  },
  {
    name: 'expiry computed before the row lock',
    edits: [
      sql(
        'holder_beat',
        'v_now := clock_timestamp();  -- after the lock',
        'v_now := now();  -- after the lock',
      ),
    ],
    test: faults('blocked-row', 'a heartbeat that waited for its row past the expiry'),
  },
  {
    name: 'IN (... LIMIT)',
    edits: [
      src(
        'sql/claim-columns',
        `from fencepost_picked fp_p
        where \${bare}.ctid = any (array(select fp_ctid from fencepost_picked)) and \${matches(table, 'fp_p')}`,
        `where \${bare}.\${identifier(table.key[0] as string)} in (
          select fp_x.\${identifier(table.key[0] as string)} from \${table.table} fp_x where fp_x.fencepost_holder is null
          limit $3::integer for no key update skip locked)`,
      ),
      src('sql/claim-columns', `rank: 'fp_p.fp_rank',`, `rank: '1',`),
    ],
    test: faults('claim-loss', 'give no more rows than asked where every join is a nested loop'),
  },
  {
    name: 'guard without a row lock',
    edits: [sql('guard', '\n  for key share;', ';')],
    test: faults(
      'guard',
      'nobody takes the lease of a dead holder while a transaction that guards it is open',
    ),
  },
  {
    name: 'takeover with a lock too weak for the guard',
    edits: [sql('lease_acquire', 'for update of l skip locked', 'for no key update of l skip locked')],
    test: faults(
      'guard',
      'nobody takes the lease of a dead holder while a transaction that guards it is open',
    ),
  },
  {
    name: 'no settling after 55P03',
    edits: [
      src(
        'session/lock-connection',
        'if (!this.lost) await this.#ask(unlockAll)',
        'if (!this.lost && !hasState(error, lockNotAvailable)) await this.#ask(unlockAll)',
      ),
    ],
    test: grants('a timeout'),
  },
  {
    name: 'no settling after 57014',
    edits: [
      src(
        'session/lock-connection',
        'if (!this.lost) await this.#ask(unlockAll)',
        'if (!this.lost && hasState(error, lockNotAvailable)) await this.#ask(unlockAll)',
      ),
    ],
    test: grants('an abort'),
  },
  {
    name: 'session SET instead of a local one',
    edits: [
      sql(
        'durable',
        "set_config('synchronous_commit', 'on', true)",
        "set_config('synchronous_commit', 'on', false)",
      ),
    ],
    test: faults('pooler', 'no session setting of ours reaches another client of the pooler'),
  },
  {
    name: 'deadline counted from the answer',
    edits: [
      src(
        'holder/holder',
        'if (elapsed(this.#confirmed, sent) > 0) this.#confirmed = sent;',
        'this.#confirmed = clock.now();',
      ),
    ],
    test: faults('clocks', 'trust counts from when the heartbeat was sent'),
  },
  {
    name: 'a heartbeat that revives an expired holder',
    edits: [
      sql(
        'holder_beat',
        'v_holder.expires_at is not null and v_holder.expires_at > v_now',
        'v_holder.expires_at is not null',
      ),
    ],
    test: heartbeats,
  },
  {
    name: "a takeover that reads the holder's expiry without its lock",
    edits: [
      sql('lease_acquire', 'and expires_at <= v_now order by id', 'and false'),
      sql(
        'lease_acquire',
        'where id = any (v_blockers));',
        'where id = any (v_blockers) and expires_at > v_now);',
      ),
    ],
    test: faults('blocked-row', 'nobody takes the lease of a holder whose heartbeat is not committed yet'),
  },
  {
    name: 'release by key only',
    edits: [sql('lease_release', 'and l.token = a.token and l.holder_id = p_holder', '')],
    test: faults(
      'lost-answer',
      'a release that arrives after another was granted the lease does not touch it',
    ),
  },
  {
    name: 'heartbeat re-armed after close',
    edits: [
      src('holder/holder', "if (this.#state === 'live') this.#cancelBeat =", 'this.#cancelBeat ='),
      src(
        'holder/holder',
        '    // The deadline comes first: a process that slept past it must not renew.\n    if (!this.live) return;\n',
        '',
      ),
      src(
        'holder/holder',
        '    if (!this.live) return;\n    const sent = clock.now();',
        '    const sent = clock.now();',
      ),
    ],
    test: faults('clocks', 'a heartbeat that is answered after the close is the last one'),
  },
  {
    name: 'a cached "held" flag',
    edits: [src('core/handle', 'if (tenure.remaining() <= 0) {', 'if (false) {')],
    test: faults('frozen-process', 'code that blocked the event loop past the ttl'),
  },
  {
    name: 'the standby WARNING ignored',
    edits: [src('session/connection', 'if (run.warning !== undefined) throw', 'if (false) throw')],
    test: faults('synchronous-standby', 'an acquire with renew'),
  },
  {
    name: 'the hash as a JavaScript number',
    edits: [
      src('core/key', 'BigInt(`0x${hash', 'BigInt(Number(`0x${hash'),
      src('core/key', '.slice(0, 16)}`));', '.slice(0, 16)}`)));'),
    ],
    test: { file: 'test/unit/key.test.ts', name: 'the number it always had' },
  },
  {
    name: 'in-process exclusion by name instead of hash',
    edits: [
      src('advisory/advisory-locks', 'this.#turns.enter(hash, ', 'this.#turns.enter(text, '),
      src('advisory/advisory-locks', 'this.#turn(hash, ', 'this.#turn(text, '),
      src(
        'advisory/advisory-locks',
        'this.#turns.leave(asked.hashes[turn] as string)',
        'this.#turns.leave(asked.text)',
      ),
    ],
    test: { file: 'test/contract/session-locks.test.ts', name: 'names with one number exclude each other' },
  },
  {
    name: 'delete on release with a per-row counter',
    edits: [
      sql(
        'lease_release',
        'update lease l set holder_id = null, expires_at = null, released_at = v_now\n    from unnest',
        'delete from lease l\n    using unnest',
      ),
      tokenAsDrawn('l.token + 1'),
    ],
    test: tokens,
  },
  {
    name: 'a definer function whose search path lacks pg_temp',
    edits: [src('sql/migration', ', pg_temp`', '`')],
    test: {
      file: 'test/integration/roles.test.ts',
      name: 'change nothing, whatever they are called and hold',
    },
  },
];
