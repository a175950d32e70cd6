import { expectTypeOf, it } from 'vitest';
import { type Duration, milliseconds } from '../../src/core/duration.ts';

it('accepts numbers, and numbers with a unit', () => {
  const seconds: number = 30;
  expectTypeOf(30_000).toExtend<Duration>();
  expectTypeOf<'500ms' | '30s' | '1.5s' | '10m' | '2h' | '1d'>().toExtend<Duration>();
  milliseconds('ttl', `${seconds}s`);
});

it('refuses everything else', () => {
  // @ts-expect-error no such unit
  milliseconds('ttl', '30x');
  // @ts-expect-error a unit of the ms package that is not one here
  milliseconds('ttl', '1y');
  // @ts-expect-error a word for a unit
  milliseconds('ttl', '5 sec');
  // @ts-expect-error an upper-case unit
  milliseconds('ttl', '30S');
  // @ts-expect-error no unit
  milliseconds('ttl', '30');
  // @ts-expect-error no number
  milliseconds('ttl', 's');
  // @ts-expect-error nothing
  milliseconds('ttl', '');
  // @ts-expect-error two durations
  milliseconds('ttl', '1h30m');
  // @ts-expect-error any string
  milliseconds('ttl', String('30s'));
  // @ts-expect-error a bigint
  milliseconds('ttl', 30n);
  // @ts-expect-error null
  milliseconds('ttl', null);
});
