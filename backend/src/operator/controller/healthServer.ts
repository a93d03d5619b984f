import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { OperatorMetrics } from './operatorMetrics.ts';

export interface HealthServerOptions {
  host: string;
  port: number;
  metrics: OperatorMetrics;
  /** Whether the operator can do its work now. */
  ready: () => boolean;
}

/** `/healthz`, `/readyz` and `/metrics`. */
export class HealthServer {
  readonly #server: Server;
  readonly #options: HealthServerOptions;

  constructor(options: HealthServerOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      const path = request.url?.split('?')[0];
      if (path === '/metrics') {
        options.metrics.metrics.text().then(
          (text) => response.writeHead(200, { 'content-type': options.metrics.metrics.contentType }).end(text),
          (error: unknown) => response.writeHead(500).end(String(error)),
        );
        return;
      }
      const ok = path === '/healthz' || (path === '/readyz' && options.ready());
      const status = ok ? 200 : path === '/readyz' ? 503 : 404;
      response.writeHead(status, { 'content-type': 'text/plain' }).end(ok ? 'ok' : status === 503 ? 'caches are not filled yet' : 'not found');
    });
  }

  /** Resolves with the port, which matters where 0 was asked for. */
  async listen(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.port, this.#options.host, resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
