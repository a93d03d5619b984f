import https from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { kubeletClientName } from '../agentConfig.ts';
import type { Logger } from '../logger.ts';
import type { PodManager } from '../pods/podManager.ts';
import { serveContainerLogs } from './containerLogs.ts';
import { HttpError } from './httpError.ts';
import { statsSummary } from './statsSummary.ts';
import { serveStream } from './streamEndpoints.ts';

export interface KubeletServerOptions {
  manager: PodManager;
  tls: { cert: string; key: string; ca: string };
  log: Logger;
}

/** A node's HTTPS endpoints (port 10250), for the API server only: it has to show its kubelet client certificate. */
export class KubeletServer {
  readonly #options: KubeletServerOptions;
  readonly #server: https.Server;
  readonly #sockets = new Set<Duplex>();

  constructor(options: KubeletServerOptions) {
    this.#options = options;
    const { cert, key, ca } = options.tls;
    this.#server = https.createServer(
      { cert, key, ca, requestCert: true, rejectUnauthorized: true },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => void this.#upgrade(request, socket, head));
    this.#server.on('tlsClientError', (error) => options.log.warn(`kubelet of ${options.manager.context.nodeName}`, error));
  }

  /** Serves a connection that was made to the node's address. */
  accept(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    this.#server.emit('connection', socket);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.closeAllConnections();
  }

  #authorise(request: IncomingMessage): void {
    const name = (request.socket as TLSSocket).getPeerCertificate().subject?.CN;
    if (name !== kubeletClientName) throw new HttpError(403, `Forbidden (user=${String(name)})`);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      this.#authorise(request);
      await this.#route(request, response);
    } catch (error) {
      const status = error instanceof HttpError ? error.status : 500;
      if (!(error instanceof HttpError)) this.#options.log.warn(`${request.method} ${request.url}`, error);
      if (response.headersSent) response.destroy();
      else response.writeHead(status, { 'content-type': 'text/plain' }).end(`${(error as Error).message}\n`);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { manager } = this.#options;
    const url = new URL(request.url ?? '/', 'https://node');
    const [, endpoint, ...rest] = url.pathname.split('/').map(decodeURIComponent);
    const json = (body: unknown): void => void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    switch (endpoint) {
      case 'healthz':
        response.end('ok');
        return;
      case 'pods':
      case 'runningpods':
        json({ kind: 'PodList', apiVersion: 'v1', metadata: {}, items: [...manager.workers].map((worker) => worker.pod) });
        return;
      case 'stats':
        json(await statsSummary(manager));
        return;
      case 'containerLogs':
        await serveContainerLogs(manager, rest, url.searchParams, response);
        return;
      default:
        throw new HttpError(404, '404 page not found');
    }
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    try {
      this.#authorise(request);
      await serveStream(this.#options.manager, request, socket, head);
    } catch (error) {
      const status = error instanceof HttpError ? error.status : 500;
      const message = `${(error as Error).message}\n`;
      socket.end(
        `HTTP/1.1 ${status} Error\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(message)}\r\nConnection: close\r\n\r\n${message}`,
      );
    }
  }
}
