import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { LeaseStore } from '../../backend/src/runtime/discovery/leaseStore.ts';

const buckets = ['v1/event_channels', 'v1/mdc', 'v1/instances'];

/**
 * A network between frontends and workers that can be cut: shows the workers of one discovery folder in another one, reached through ports of its own.
 * KV transfers and events do not go through it.
 */
export class RequestPlaneProxy implements AsyncDisposable {
  readonly #store: LeaseStore;
  readonly #servers = new Map<string, Server>();
  readonly #pairs = new Set<{ worker: string; near: Socket; far: Socket }>();

  private constructor(folder: string) {
    this.#store = new LeaseStore({ root: folder, ttlMs: 10_000 });
  }

  /** `from`: the workers' DYN_FILE_KV, all of them registered; `to`: the frontends'. */
  static async between(from: string, to: string): Promise<RequestPlaneProxy> {
    const proxy = new RequestPlaneProxy(to);
    const workers = new LeaseStore({ root: from, ttlMs: 10_000 });
    for (const bucket of buckets) {
      const entries = [...(await workers.list(bucket))].sort(([a], [b]) => Number(a.includes('/generate/')) - Number(b.includes('/generate/')));
      for (const [key, value] of entries) await proxy.#store.put(bucket, key, bucket === 'v1/instances' ? await proxy.#moved(value) : value);
    }
    return proxy;
  }

  async #moved(value: unknown): Promise<unknown> {
    const entry = value as { transport: { tcp: string } };
    return { ...entry, transport: { tcp: await this.#door(entry.transport.tcp) } };
  }

  async #door(worker: string): Promise<string> {
    let server = this.#servers.get(worker);
    if (server === undefined) {
      server = createServer((near) => this.#join(worker, near));
      this.#servers.set(worker, server);
      await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
    }
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  #join(worker: string, near: Socket): void {
    const colon = worker.lastIndexOf(':');
    const far = connect({ host: worker.slice(0, colon), port: Number(worker.slice(colon + 1)), noDelay: true, allowHalfOpen: true });
    const pair = { worker, near, far };
    this.#pairs.add(pair);
    near.on('data', (chunk) => void far.write(chunk));
    far.on('data', (chunk) => void (near.destroyed || near.write(chunk)));
    for (const socket of [near, far]) socket.on('error', () => {});
    near.once('close', () => far.destroy());
    far.once('close', () => {
      near.destroy();
      this.#pairs.delete(pair);
    });
  }

  /** Resets the connections to one worker at both ends, as a crashed peer or a firewall does. Returns how many there were. */
  reset(worker: string): number {
    const cut = [...this.#pairs].filter((pair) => pair.worker === worker);
    for (const { near, far } of cut) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
    return cut.length;
  }

  /** Takes leave of one worker in good order, then is gone: what it still sends meets nobody. */
  async leave(worker: string): Promise<number> {
    const cut = [...this.#pairs].filter((pair) => pair.worker === worker);
    for (const { far } of cut) far.end();
    await sleep(30);
    for (const { far } of cut) far.destroy();
    return cut.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store.release();
    for (const { near, far } of this.#pairs) {
      near.destroy();
      far.destroy();
    }
    await Promise.all([...this.#servers.values()].map((server) => new Promise((resolve) => server.close(resolve))));
  }
}
