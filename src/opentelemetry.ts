import { type MeterProvider, metrics, type TracerProvider, trace } from '@opentelemetry/api';
import { ArgumentError } from './core/errors.ts';
import { boolean, type Check, integer, validate, withDefault } from './core/options.ts';
import { Families, type FamilySubject } from './opentelemetry/families.ts';
import { Metering } from './opentelemetry/metering.ts';
import { Tracing } from './opentelemetry/tracing.ts';

export type { FamilySubject } from './opentelemetry/families.ts';

/** Where spans and metrics go, and what they say. */
export interface InstrumentOptions {
  /** Where spans go: the global provider by default, which drops them until the SDK has set one. `false`: no spans. */
  readonly tracerProvider?: TracerProvider | false | undefined;
  /** Where metrics go: the global provider by default. `false`: no metrics. */
  readonly meterProvider?: MeterProvider | false | undefined;
  /**
   * The family of a key, for the attribute `fencepost.family`: few different ones, since each is a series of its own.
   * By default the first part of a key that is a list, the text before its first digit or `:`, and the table
   * of a claim.
   */
  readonly family?: ((subject: FamilySubject) => string) | undefined;
  /** Most families; those that come later count as `_other`. More of them cost memory here and there. 100 by default. */
  readonly maxFamilies?: number | undefined;
  /**
   * `true`: spans carry whole keys (`fencepost.key`, and in the texts of errors), which may be personal data. Metrics
   * never do. `false` by default.
   */
  readonly keys?: boolean | undefined;
}

const functionCheck: Check<(subject: FamilySubject) => string> = (argument, value) => {
  if (typeof value === 'function') return value as (subject: FamilySubject) => string;
  throw new ArgumentError(argument, 'a function', value);
};

function provider<Provider>(method: string): Check<Provider | false> {
  return (argument, value) => {
    if (value === false) return false;
    const given = value as Record<string, unknown> | null;
    if (typeof given === 'object' && typeof given?.[method] === 'function') return value as Provider;
    throw new ArgumentError(argument, `a provider with ${method}(), or false`, value);
  };
}

/**
 * Spans and metrics of every Fencepost of this process, until the answer is disposed of. Call it once, before the first
 * Fencepost: what is held or open already is not counted. docs/observability.md lists what there is.
 *
 * It needs `@opentelemetry/api`, and an SDK that the providers come from.
 *
 * @throws ArgumentError for wrong options
 *
 * @example
 * using instrumentation = instrument({ meterProvider });
 */
export function instrument(options?: InstrumentOptions): Disposable {
  const { tracerProvider, meterProvider, family, maxFamilies, keys } = validate('options', options, {
    tracerProvider: withDefault(provider<TracerProvider>('getTracer'), trace.getTracerProvider()),
    meterProvider: withDefault(provider<MeterProvider>('getMeter'), metrics.getMeterProvider()),
    family: withDefault(functionCheck, (subject) => subject.family),
    maxFamilies: withDefault(integer({ min: 1, max: 10_000 }), 100),
    keys: withDefault(boolean(), false),
  });
  const families = new Families(family, maxFamilies);
  const parts: Disposable[] = [];
  if (meterProvider !== false) parts.push(new Metering(meterProvider.getMeter('fencepost'), families));
  if (tracerProvider !== false)
    parts.push(new Tracing(tracerProvider.getTracer('fencepost'), families, keys));
  return {
    [Symbol.dispose]() {
      for (const part of parts.splice(0)) part[Symbol.dispose]();
    },
  };
}
