import { rm } from 'node:fs/promises';
import http from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from '../logger.ts';
import { kubeletPort } from '../node/nodeObject.ts';
import { joinSockets, type PodNet } from '../podnet/index.ts';
import type { KubeletServer } from './kubeletServer.ts';

const dialTimeoutMs = 10_000;

export interface EgressServerOptions {
  socketPath: string;
  /** The kubelet of a node address. */
  kubelet(ip: string): KubeletServer | undefined;
  podNet: PodNet;
  log: Logger;
}

/**
 * Where kube-apiserver's egress selector connects: HTTP CONNECT on a Unix socket. Node addresses lead to our kubelet servers,
 * all others into the pod network. The answer has to be status 200 with no byte after its headers, else the API server hangs up.
 */
export class EgressServer {
  readonly #options: EgressServerOptions;

  constructor(options: EgressServerOptions) {
    this.#options = options;
  }

  async start(onStop: (close: () => Promise<void>) => void): Promise<void> {
    const { socketPath } = this.#options;
    await rm(socketPath, { force: true });
    const open = new Set<Socket>();
    const server = http.createServer((_request, response) => response.writeHead(405).end());
    server.on('connect', (request, socket: Socket, head) => {
      open.add(socket);
      socket.once('close', () => open.delete(socket));
      void this.#connect(request.url ?? '', socket, head);
    });
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(socketPath, resolve));
    onStop(async () => {
      for (const socket of open) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
  }

  async #connect(target: string, socket: Socket, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    const colon = target.lastIndexOf(':');
    const ip = target.slice(0, colon).replace(/^\[|\]$/g, '');
    const port = Number(target.slice(colon + 1));
    const kubelet = port === kubeletPort ? this.#options.kubelet(ip) : undefined;
    try {
      const upstream = kubelet === undefined ? await this.#options.podNet.dial(ip, port, AbortSignal.timeout(dialTimeoutMs)) : undefined;
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      if (head.length > 0) socket.unshift(head);
      if (upstream === undefined) kubelet?.accept(socket);
      else joinSockets(socket, upstream);
    } catch (error) {
      this.#options.log.warn(`connection of the API server to ${target}`, error);
      socket.end(`HTTP/1.1 502 ${(error as NodeJS.ErrnoException).code ?? 'Bad Gateway'}\r\n\r\n`);
    }
  }
}
