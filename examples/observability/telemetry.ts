import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { instrument } from 'fencepost/opentelemetry';

export interface MetricsServer extends AsyncDisposable {
  readonly url: string;
}

/**
 * Serves the metrics of this process to Prometheus, on loopback, until it is disposed of. Begin before the first
 * Fencepost is made: what is held already is not counted.
 */
export async function serveMetrics(port: number): Promise<MetricsServer> {
  const exporter = new PrometheusExporter({ preventServerStart: true });
  const meterProvider = new MeterProvider({ readers: [exporter] });
  const instrumentation = instrument({ meterProvider });
  // A server of our own, as most programs have one already.
  const server = createServer((request, response) => {
    if (request.url === '/metrics') exporter.getMetricsRequestHandler(request, response);
    else response.writeHead(404).end();
  });
  await once(server.listen(port, '127.0.0.1'), 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`,
    async [Symbol.asyncDispose]() {
      instrumentation[Symbol.dispose]();
      server.closeAllConnections();
      server.close();
      await meterProvider.shutdown();
    },
  };
}
