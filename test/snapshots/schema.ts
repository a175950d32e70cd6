import type { TestDatabase } from '../support/database.ts';

/**
 * Everything that a schema holds, read from the catalogs, as text that is the same on each version of PostgreSQL,
 * under each name of the schema and for each owner. Bodies of functions are left out: sql/ has them.
 *
 * @param names of roles and what stands in their place
 */
export async function describeSchema(
  database: TestDatabase,
  schema: string,
  names: Readonly<Record<string, string>> = {},
): Promise<string> {
  const sections: string[] = [];
  for (const [title, select] of Object.entries(selects)) {
    const rows = await database.query<{ line: string }>(
      `with o as (select * from pg_namespace where nspname = $1) ${select}`,
      [schema],
    );
    const lines = rows.map(({ line }) => `  ${line.trim().replaceAll(/\n\s*/g, '\n    ')}\n`);
    sections.push([`${title}\n`, ...lines.sort()].join(''));
  }
  return Object.entries({ ...names, [schema]: 'fencepost' }).reduce(
    (text, [name, shown]) => text.replaceAll(`"${name}"`, shown).replaceAll(name, shown),
    sections.join('\n'),
  );
}

/** What others than the owner may do. */
function rights(kind: 'n' | 'r' | 's' | 'f', acl: string, owner: string): string {
  return `coalesce((
    select string_agg(lower(a.privilege_type) || ' to ' ||
        case a.grantee when 0 then 'everybody' else a.grantee::regrole::text end, ', '
      order by a.grantee, a.privilege_type)
    from aclexplode(coalesce(${acl}, acldefault('${kind}', ${owner}))) a where a.grantee <> ${owner}), 'nothing')`;
}

const selects: Record<string, string> = {
  schema: `select 'grants ' || ${rights('n', 'nspacl', 'nspowner')} as line from o`,

  tables: `select format('%s, %s, grants %s', c.relname, coalesce(array_to_string(c.reloptions, ', '), 'no options'),
      ${rights('r', 'c.relacl', 'c.relowner')}) as line
    from o join pg_class c on c.relnamespace = o.oid where c.relkind in ('r', 'p')`,

  columns: `select format('%s %s %s %s%s%s', c.relname, lpad(a.attnum::text, 2), a.attname,
      format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' else '' end,
      ' default ' || pg_get_expr(d.adbin, d.adrelid)) as line
    from o join pg_class c on c.relnamespace = o.oid join pg_attribute a on a.attrelid = c.oid
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relkind in ('r', 'p', 'v') and a.attnum > 0 and not a.attisdropped`,

  // From PostgreSQL 18 on NOT NULL is a constraint as well: the columns show it.
  constraints: `select format('%s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)) as line
    from o join pg_constraint k on k.connamespace = o.oid where k.contype <> 'n'`,

  indexes: `select pg_get_indexdef(c.oid) as line
    from o join pg_class c on c.relnamespace = o.oid where c.relkind in ('i', 'I')`,

  sequences: `select format('%s %s, start %s, increment %s, maximum %s, cache %s%s%s, grants %s', c.relname,
      format_type(s.seqtypid, null), s.seqstart, s.seqincrement, s.seqmax, s.seqcache,
      case when s.seqcycle then ', cycle' end,
      (select format(', owned by %s.%s', refobjid::regclass, attname) from pg_depend
       join pg_attribute on attrelid = refobjid and attnum = refobjsubid where objid = c.oid and deptype = 'a'),
      ${rights('s', 'c.relacl', 'c.relowner')}) as line
    from o join pg_class c on c.relnamespace = o.oid join pg_sequence s on s.seqrelid = c.oid`,

  functions: `select format(E'%s(%s)\\nreturns %s\\n%s, %s, runs as its %s%s, parallel %s\\nsettings %s\\ngrants %s',
      p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), l.lanname,
      case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
      case when p.prosecdef then 'owner' else 'caller' end, case when p.proisstrict then ', strict' end,
      case p.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end,
      coalesce(array_to_string(p.proconfig, '; '), 'none'), ${rights('f', 'p.proacl', 'p.proowner')}) as line
    from o join pg_proc p on p.pronamespace = o.oid join pg_language l on l.oid = p.prolang`,

  // Up to PostgreSQL 15 each column carries its table, also where there is only one.
  views: `select format(E'%s, grants %s\\n%s', c.relname, ${rights('r', 'c.relacl', 'c.relowner')},
      regexp_replace(pg_get_viewdef(c.oid), '(?<=[ (])[a-z]\\.', '', 'g')) as line
    from o join pg_class c on c.relnamespace = o.oid where c.relkind = 'v'`,

  others: `select format('trigger %s', t.tgname) as line
    from o join pg_class c on c.relnamespace = o.oid join pg_trigger t on t.tgrelid = c.oid
    union all
    select format('type %s', t.typname)
    from o join pg_type t on t.typnamespace = o.oid where t.typtype in ('d', 'e', 'r')
    union all
    select format('operator %s', p.oprname) from o join pg_operator p on p.oprnamespace = o.oid`,
};
