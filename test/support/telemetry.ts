import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { type InstrumentOptions, instrument } from 'fencepost/opentelemetry';

/** One series of a metric: the number, or how many were recorded, with its attributes. */
export interface Point {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly value: number;
}

export interface Telemetry extends Disposable {
  readonly tracerProvider: TracerProvider;
  spans(name?: string): ReadableSpan[];
  /** Every metric that something was recorded of. */
  metrics(): Promise<Map<string, Point[]>>;
  /** The sum over the series that have these attributes; 0 where there are none. */
  sum(name: string, attributes?: Record<string, unknown>): Promise<number>;
}

/** The SDK of OpenTelemetry, with what it exports in memory, until it is disposed of. */
export function startTelemetry(options: InstrumentOptions = {}): Telemetry {
  const spanExporter = new InMemorySpanExporter();
  const tracerProvider = new TracerProvider({
    spanProcessors: [new SimpleSpanProcessor({ exporter: spanExporter })],
  });
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const instrumentation = instrument({ tracerProvider, meterProvider, ...options });
  const metrics = async (): Promise<Map<string, Point[]>> => {
    await meterProvider.forceFlush();
    const scopes = exporter.getMetrics().at(-1)?.scopeMetrics ?? [];
    const all = scopes.flatMap((scope) => scope.metrics);
    return new Map(
      all.map(({ descriptor, dataPoints }) => [
        descriptor.name,
        dataPoints.map(({ attributes, value }) => ({
          attributes,
          value: typeof value === 'number' ? value : value.count,
        })),
      ]),
    );
  };
  return {
    tracerProvider,
    spans: (name) =>
      spanExporter.getFinishedSpans().filter((span) => name === undefined || span.name === name),
    metrics,
    async sum(name, attributes = {}) {
      const points = (await metrics()).get(name) ?? [];
      const chosen = points.filter((point) =>
        Object.entries(attributes).every(([key, value]) => point.attributes[key] === value),
      );
      return chosen.reduce((sum, { value }) => sum + value, 0);
    },
    [Symbol.dispose]() {
      instrumentation[Symbol.dispose]();
    },
  };
}
