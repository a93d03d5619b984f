import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';

export interface SystemServerOptions {
  host: string;
  port: number;
  /** What `/health` says; 200 iff `ready`. `/live`: 200 iff `live`. */
  health: () => { ready: boolean; live: boolean; status: string; endpoints: Record<string, string>; uptimeSeconds: number };
  metrics: () => Promise<{ contentType: string; text: string }>;
  /** `GET /engine/state`; undefined while there is no engine. */
  state: () => unknown;
  /** `POST /engine/clear_prefix_cache`; resolves with the number of blocks. Undefined while there is no engine. */
  clearPrefixCache: () => Promise<number> | undefined;
}

/** The worker's own HTTP port (`DYN_SYSTEM_PORT`, 9090 in a pod): probes, metrics, and a look into the engine. */
export class SystemServer implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;

  static async listen(options: SystemServerOptions): Promise<SystemServer> {
    const app = express();
    app.disable('x-powered-by');
    app.get('/live', (_request, response) => {
      const { live, uptimeSeconds } = options.health();
      response.status(live ? 200 : 503).json({ status: live ? 'live' : 'notlive', uptime: uptime(uptimeSeconds) });
    });
    app.get('/health', (_request, response) => {
      const { ready, status, endpoints, uptimeSeconds } = options.health();
      response.status(ready ? 200 : 503).json({ status, uptime: uptime(uptimeSeconds), endpoints });
    });
    app.get('/metrics', async (_request, response) => {
      const { contentType, text } = await options.metrics();
      response.set('content-type', contentType).send(text);
    });
    app.get('/engine/state', (_request, response) => {
      const state = options.state();
      if (state === undefined) response.status(503).json({ error: { code: 'NOT_READY', message: 'the engine is still loading' } });
      else response.json(state);
    });
    app.post('/engine/clear_prefix_cache', async (_request, response) => {
      const clearing = options.clearPrefixCache();
      if (clearing === undefined) response.status(503).json({ error: { code: 'NOT_READY', message: 'the engine is still loading' } });
      else response.json({ status: 'success', cleared_blocks: await clearing });
    });
    app.use((request, response) => void response.status(404).json({ error: { code: 'NOT_FOUND', message: `no ${request.method} ${request.path} here` } }));
    const server = createServer(app);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: options.host, port: options.port }, resolve);
    });
    return new SystemServer(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** As Rust prints a Duration in JSON. */
function uptime(seconds: number): { secs: number; nanos: number } {
  return { secs: Math.floor(seconds), nanos: Math.floor((seconds % 1) * 1e9) };
}

/** Where to listen: `DYN_SYSTEM_PORT`, 9090 where `DYN_SYSTEM_ENABLED` is set; undefined for nowhere. Beyond loopback only in a pod. */
export function systemAddress(env: NodeJS.ProcessEnv): { host: string; port: number } | undefined {
  const enabled = ['1', 'true'].includes((env['DYN_SYSTEM_ENABLED'] ?? '').toLowerCase());
  const port = Number(env['DYN_SYSTEM_PORT'] ?? (enabled ? 9090 : -1));
  return port < 0 ? undefined : { host: env['DYN_SYSTEM_HOST'] ?? (env['POD_IP'] === undefined ? '127.0.0.1' : '0.0.0.0'), port };
}
