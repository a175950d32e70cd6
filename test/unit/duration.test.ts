import { describe, expect, it } from 'vitest';
import { type Duration, milliseconds } from '../../src/core/duration.ts';
import { ArgumentError } from '../../src/core/errors.ts';

describe('milliseconds', () => {
  it.each<[Duration, number]>([
    [0, 0],
    [250, 250],
    ['0s', 0],
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5s', 1_500],
    ['10m', 600_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    [2 ** 31 - 1, 2_147_483_647],
  ])('reads %o as %d', (value, expected) => {
    expect(milliseconds('ttl', value)).toBe(expected);
  });

  it.each<[Duration, number]>([
    [0.4, 0],
    [0.5, 1],
    ['1.005s', 1_005],
    ['0.0001d', 8_640],
    ['1.6ms', 2],
  ])('rounds %o to the whole millisecond %d', (value, expected) => {
    expect(milliseconds('ttl', value)).toBe(expected);
  });

  it.each([
    -1,
    -0.1,
    Number.NaN,
    Infinity,
    -Infinity,
    2 ** 31,
    '',
    '30',
    's',
    '5 sec',
    '30 s',
    ' 30s',
    '30s ',
    '30s\n',
    '-5s',
    '+5s',
    '.5s',
    '5.s',
    '1e3s',
    '0x1fs',
    '1_000s',
    '30S',
    '1w',
    '1y',
    '1h30m',
    'Infinityms',
    '25d',
    '١s',
    null,
    undefined,
    true,
    30n,
    ['30s'],
    new Date(0),
    { valueOf: () => 5 },
    Symbol('30s'),
  ])('refuses %o', (value) => {
    expect(() => milliseconds('ttl', value as Duration)).toThrow(ArgumentError);
  });

  it('says which argument is wrong, what is right and what came', () => {
    expect(() => milliseconds('options.ttl', '5 sec' as Duration, { min: 100, max: 5_000 })).toThrow(
      "options.ttl: expected a number of milliseconds or a string such as '30s', from 100 to 5000 ms, got '5 sec'",
    );
    expect(() => milliseconds('wait', -1, { max: Infinity })).toThrow(
      "wait: expected a number of milliseconds or a string such as '30s', at least 0 ms, got -1",
    );
  });

  it('holds the limits after rounding, both included', () => {
    const limits = { min: 100, max: 200 };
    expect([100, 99.5, '0.2s', 200.4].map((value) => milliseconds('ttl', value as Duration, limits))).toEqual(
      [100, 100, 200, 200],
    );
    for (const value of [99, 99.4, 200.5, 201]) {
      expect(() => milliseconds('ttl', value, limits)).toThrow('from 100 to 200 ms');
    }
  });

  it('takes Infinity, and times longer than a timer, only where the caller allows for ever', () => {
    expect(milliseconds('wait', Infinity, { max: Infinity })).toBe(Infinity);
    expect(milliseconds('wait', '365d', { max: Infinity })).toBe(31_536_000_000);
    expect(() => milliseconds('wait', Infinity, { max: Number.MAX_VALUE })).toThrow(ArgumentError);
  });
});
