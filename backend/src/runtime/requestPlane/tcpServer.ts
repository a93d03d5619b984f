import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { RequestHandler, RequestPlaneServer } from './requestPlane.ts';
import type { TcpOptions } from './tcpOptions.ts';
import { type LostCaller, TcpServerConnection } from './tcpServerConnection.ts';

/** A worker's side of the TCP request plane. */
export class TcpRequestServer implements RequestPlaneServer {
  readonly plane = 'tcp';
  readonly address: string;
  readonly #server: Server;
  readonly #handlers: Map<string, RequestHandler>;
  readonly #connections: Set<TcpServerConnection>;
  #draining = false;
  #idle: PromiseWithResolvers<void> | undefined;

  /** `onLost` is told of callers whose connection broke while they were being answered. */
  static async listen(options: TcpOptions, onLost?: (lost: LostCaller) => void): Promise<TcpRequestServer> {
    const server = createServer({ noDelay: true, keepAlive: true, allowHalfOpen: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: options.host, port: options.port }, resolve);
    });
    return new TcpRequestServer(server, options, onLost);
  }

  private constructor(server: Server, options: TcpOptions, onLost?: (lost: LostCaller) => void) {
    const { address, port, family } = server.address() as AddressInfo;
    this.address = family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
    this.#server = server;
    this.#handlers = new Map();
    this.#connections = new Set();
    server.on('connection', (socket: Socket) => {
      const connection = new TcpServerConnection(socket, {
        address: this.address,
        options,
        handler: (endpoint) => this.#handlers.get(endpoint),
        draining: () => this.#draining,
        onStreamEnd: () => {
          if (this.inFlight === 0) this.#idle?.resolve();
        },
        ...(onLost === undefined ? {} : { onLost }),
      });
      this.#connections.add(connection);
      socket.once('close', () => this.#connections.delete(connection));
    });
  }

  get inFlight(): number {
    let total = 0;
    for (const connection of this.#connections) total += connection.inFlight;
    return total;
  }

  serve(endpoint: string, handler: RequestHandler): Disposable {
    if (this.#handlers.has(endpoint)) throw new Error(`endpoint "${endpoint}" is already served`);
    this.#handlers.set(endpoint, handler);
    return {
      [Symbol.dispose]: () => {
        if (this.#handlers.get(endpoint) === handler) this.#handlers.delete(endpoint);
      },
    };
  }

  async drain(deadlineMs: number): Promise<boolean> {
    this.#draining = true;
    if (this.inFlight === 0) return true;
    this.#idle ??= Promise.withResolvers<void>();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, deadlineMs)));
    await Promise.race([this.#idle.promise, late]);
    clearTimeout(timer);
    return this.inFlight === 0;
  }

  async close(): Promise<void> {
    this.#draining = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.close();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
