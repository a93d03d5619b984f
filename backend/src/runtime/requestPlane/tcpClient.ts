import { ConnectFailedError } from './requestPlaneError.ts';
import type { RequestCall, RequestPlaneClient } from './requestPlane.ts';
import { TcpClientConnection } from './tcpClientConnection.ts';
import type { TcpOptions } from './tcpOptions.ts';

/** Requests that share one connection before another is opened. */
const streamsPerConnection = 32;

/** A frontend's side of the TCP request plane: a pool of multiplexed connections per worker. */
export class TcpRequestClient implements RequestPlaneClient {
  readonly plane = 'tcp';
  readonly #options: TcpOptions;
  readonly #pools = new Map<string, TcpClientConnection[]>();
  #closed = false;

  constructor(options: TcpOptions) {
    this.#options = options;
  }

  async *call<T = unknown>(call: RequestCall): AsyncIterableIterator<T> {
    call.signal?.throwIfAborted();
    if (this.#closed) throw new ConnectFailedError('the client is closed', { plane: this.plane, address: call.address, endpoint: call.endpoint });
    const connection = this.#connection(call.address);
    const release = connection.reserve();
    try {
      await connection.ready;
      yield* connection.call<T>(call);
    } finally {
      release();
    }
  }

  /** Connections now open or opening, per worker address. */
  connections(address: string): number {
    return this.#pools.get(address)?.length ?? 0;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const all = [...this.#pools.values()].flat();
    this.#pools.clear();
    await Promise.all(all.map((connection) => connection.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #connection(address: string): TcpClientConnection {
    const pool = this.#pools.get(address) ?? [];
    this.#pools.set(address, pool);
    const idlest = pool.reduce<TcpClientConnection | undefined>((best, next) => (best === undefined || next.load < best.load ? next : best), undefined);
    if (idlest !== undefined && (idlest.load < streamsPerConnection || pool.length >= this.#options.poolSize)) return idlest;
    const connection = new TcpClientConnection(address, this.#options, () => {
      const index = pool.indexOf(connection);
      if (index >= 0) pool.splice(index, 1);
      if (pool.length === 0 && this.#pools.get(address) === pool) this.#pools.delete(address);
    });
    pool.push(connection);
    return connection;
  }
}
