-- What the trigger of a fenced column calls when a write carries a smaller token than the row, or none.
create or replace function stale_write() returns trigger
language plpgsql volatile security definer
set search_path from current
as $$
begin
  raise exception 'stale fencing token for a row of table %.%', tg_table_schema, tg_table_name
    using errcode = 'FP001', column = tg_argv[0], schema = tg_table_schema, table = tg_table_name,
          detail = 'The row was written with a greater token.';
end
$$;
