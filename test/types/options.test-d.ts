import { expectTypeOf, it } from 'vitest';
import {
  boolean,
  duration,
  integer,
  oneOf,
  optional,
  signal,
  text,
  validate,
  withDefault,
} from '../../src/core/options.ts';

it('gives each option the type of its check', () => {
  const options = validate(
    'options',
    {},
    {
      name: text({ maxBytes: 63 }),
      ttl: withDefault(duration(), 30_000),
      wait: optional(duration({ max: Infinity })),
      mode: withDefault(oneOf('shared', 'exclusive'), 'exclusive'),
      slots: integer({ min: 1 }),
      renew: withDefault(boolean(), true),
      signal: optional(signal()),
    },
  );
  expectTypeOf(options).toEqualTypeOf<{
    readonly name: string;
    readonly ttl: number;
    readonly wait: number | undefined;
    readonly mode: 'shared' | 'exclusive';
    readonly slots: number;
    readonly renew: boolean;
    readonly signal: AbortSignal | undefined;
  }>();
  // @ts-expect-error no such option
  options.tll;
  // @ts-expect-error the result is frozen
  options.ttl = 1;
});

it('refuses a default that its check would not give', () => {
  // @ts-expect-error not one of them
  withDefault(oneOf('shared', 'exclusive'), 'update');
  // @ts-expect-error the default of a duration is in milliseconds
  withDefault(duration(), '30s');
});
