import { describe, expect, it } from 'vitest';
import { ArgumentError } from '../../src/core/errors.ts';
import {
  boolean,
  type Check,
  duration,
  integer,
  oneOf,
  optional,
  signal,
  text,
  validate,
  withDefault,
} from '../../src/core/options.ts';

const known = {
  ttl: withDefault(duration({ min: 1_000 }), 30_000),
  mode: withDefault(oneOf('shared', 'exclusive'), 'exclusive'),
  signal: optional(signal()),
  slots: withDefault(integer({ min: 1, max: 100 }), 1),
};

describe('validate', () => {
  it('gives what was given, and the defaults for what was not', () => {
    expect(validate('options', { ttl: '5s' }, known)).toEqual({
      ttl: 5_000,
      mode: 'exclusive',
      signal: undefined,
      slots: 1,
    });
  });

  it.each([undefined, {}, { ttl: undefined, signal: undefined }, Object.create(null)])(
    'takes %o for no options at all',
    (given) => {
      expect(validate('options', given, known)).toEqual({ ttl: 30_000, mode: 'exclusive', slots: 1 });
    },
  );

  it('leaves the object that it was given alone', () => {
    const given = { ttl: '5s' };
    expect(validate('options', given, known)).not.toBe(given);
    expect(given).toEqual({ ttl: '5s' });
  });

  it.each(['toString', 'constructor'])('refuses %s, which every object has', (name) => {
    expect(() => validate('options', { [name]: 1 }, known)).toThrow(`unknown option '${name}'`);
  });

  it('reads an option that a class gives by a getter', () => {
    class Settings {
      get ttl(): string {
        return '5s';
      }
    }
    expect(validate('options', new Settings(), known).ttl).toBe(5_000);
  });

  it('asks for an option that has no default', () => {
    expect(() => validate('options', {}, { name: text({ maxBytes: 63 }) })).toThrow(
      'options.name: expected a string without NUL and without lone surrogates, got undefined',
    );
  });

  it('refuses an unknown name and asks for the one that was meant', () => {
    expect(() => validate('options', { tll: '5s' }, known)).toThrow(ArgumentError);
    expect(() => validate('options', { mode: 'shared', tll: '5s' }, known)).toThrow(
      "options: expected only ttl, mode, signal, slots (unknown option 'tll'; did you mean 'ttl'?), got [ 'mode', 'tll' ]",
    );
  });

  it('guesses nothing where no known name is near', () => {
    expect(() => validate('options', { colour: 'red' }, known)).toThrow("(unknown option 'colour'), got");
  });

  it.each(['constructor', 'toString', '__proto__'])('refuses %s, which every object has', (name) => {
    const given = JSON.parse(`{ "${name}": 1 }`);
    expect(() => validate('options', given, known)).toThrow(`unknown option '${name}'`);
  });

  it('refuses an unknown name even when its value is undefined', () => {
    expect(() => validate('options', { tll: undefined }, known)).toThrow("unknown option 'tll'");
  });

  it.each([[null], ['text'], [7], [true], [[]], [() => {}]])(
    'refuses %o, which is no object of options',
    (given) => {
      expect(() => validate('options', given, known)).toThrow('options: expected an object of options, got ');
    },
  );

  it('keeps a password out of its errors', () => {
    expect(() => validate('options', 'postgres://app:secret@db/app', known)).toThrow(/^((?!secret).)*$/);
    expect(() => validate('options', { connectionString: 'postgres://app:secret@db/app' }, known)).toThrow(
      /^((?!secret).)*$/,
    );
  });
});

describe('a check', () => {
  const stop = new AbortController().signal;

  it.each<[string, Check<unknown>, unknown, unknown]>([
    ['duration', duration(), '2s', 2_000],
    ['duration', duration({ max: Infinity }), Infinity, Infinity],
    ['boolean', boolean(), false, false],
    ['integer', integer(), -5, -5],
    ['integer', integer({ min: 1, max: 3 }), 3, 3],
    ['oneOf', oneOf('shared', 'exclusive'), 'shared', 'shared'],
    ['text', text({ maxBytes: 2 }), 'é', 'é'],
    ['text', text({ maxBytes: 2 }), '', ''],
    ['signal', signal(), stop, stop],
    ['optional', optional(boolean()), undefined, undefined],
    ['optional', optional(boolean()), false, false],
    ['withDefault', withDefault(boolean(), true), undefined, true],
    ['withDefault', withDefault(boolean(), true), false, false],
  ])('%s accepts what it is for (%#)', (_name, check, value, expected) => {
    expect(check('it', value)).toBe(expected);
  });

  it.each<[string, Check<unknown>, unknown, string]>([
    [
      'duration',
      duration({ max: 10 }),
      11,
      "a number of milliseconds or a string such as '30s', from 0 to 10 ms, got 11",
    ],
    ['boolean', boolean(), 0, 'true or false, got 0'],
    ['boolean', boolean(), undefined, 'true or false, got undefined'],
    ['integer', integer({ min: 1, max: 3 }), 0, 'a whole number from 1 to 3, got 0'],
    ['integer', integer({ min: 1, max: 3 }), 4, 'a whole number from 1 to 3, got 4'],
    ['integer', integer(), 1.5, 'a whole number from -9007199254740991 to 9007199254740991, got 1.5'],
    ['integer', integer({ min: 1, max: 3 }), '2', "a whole number from 1 to 3, got '2'"],
    ['integer', integer({ min: 1, max: 3 }), 2n, 'a whole number from 1 to 3, got 2n'],
    ['oneOf', oneOf('shared', 'exclusive'), 'Shared', "'shared' or 'exclusive', got 'Shared'"],
    ['text', text({ maxBytes: 2 }), 'éa', "a string of 0 to 2 bytes, got 'éa'"],
    ['text', text({ minBytes: 1, maxBytes: 2 }), '', "a string of 1 to 2 bytes, got ''"],
    ['text', text({ maxBytes: 2 }), '\0', 'a string without NUL'],
    ['text', text({ maxBytes: 9 }), '\ud800', 'a string without NUL and without lone surrogates'],
    ['text', text({ maxBytes: 9 }), 7, 'a string without NUL and without lone surrogates, got 7'],
    ['signal', signal(), { aborted: false }, 'an AbortSignal, got { aborted: false }'],
    ['signal', signal(), new AbortController(), 'an AbortSignal, got AbortController'],
    ['optional', optional(boolean()), null, 'true or false, got null'],
    ['withDefault', withDefault(boolean(), true), null, 'true or false, got null'],
  ])('%s refuses the rest and says what it expects (%#)', (_name, check, value, message) => {
    expect(() => check('it', value)).toThrow(ArgumentError);
    expect(() => check('it', value)).toThrow(`it: expected ${message}`);
  });
});
