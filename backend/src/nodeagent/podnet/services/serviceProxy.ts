import net from 'node:net';
import type { Duplex } from 'node:stream';
import { addressPlan } from '../addressPlan.ts';
import { serveConnections } from '../listenOn.ts';
import type { PodNet } from '../podNet.ts';
import { Balancer } from './balancer.ts';
import { joinSockets, resetSocket } from './joinSockets.ts';
import { serviceTable, type ServiceEntry } from './serviceTable.ts';
import type { ServiceSource } from './serviceWatch.ts';

/** An address that cannot be served, for an Event on the Service. */
export interface ServiceProblem {
  namespace: string;
  name: string;
  uid: string | undefined;
  reason: 'NodePortUnavailable' | 'ClusterIPUnavailable';
  message: string;
}

export interface ServiceProxyOptions {
  services: ServiceSource;
  podNet: PodNet;
  /** InternalIPs of the nodes; NodePorts are served there for pods. */
  nodeIps: readonly string[];
  /** Host address for NodePorts, so that the notebook and the person reach them. */
  nodePortAddress: string;
  /** `host:port` of the API server on the host; what 10.96.0.1:443 leads to. */
  apiServer: string;
  /** Told once per address and spell of trouble; the proxy goes on trying. */
  onProblem?: (problem: ServiceProblem) => void;
}

/** Longest wait for one endpoint to accept before the next is tried. */
const dialTimeoutMs = 3_000;
/** How often addresses that were taken are tried again. */
const retryMs = 5_000;

interface Wanted {
  entryKey: string;
  where: 'cluster' | 'host';
  ip: string;
  port: number;
}

/** kube-proxy's work, in user space: ClusterIPs and NodePorts lead to ready endpoints. */
export class ServiceProxy implements AsyncDisposable {
  readonly #options: ServiceProxyOptions;
  readonly #balancer = new Balancer();
  readonly #listening = new Map<string, AsyncDisposable>();
  readonly #reported = new Set<string>();
  #table = new Map<string, ServiceEntry>();
  #apiServer: AsyncDisposable | undefined;
  #subscription: Disposable | undefined;
  #reconciling: Promise<void> | undefined;
  #again = false;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ServiceProxyOptions) {
    this.#options = options;
  }

  /** Resolves when every Service known now is served. */
  async start(): Promise<void> {
    const { podNet, services, apiServer } = this.#options;
    const { hostname, port } = new URL(`tcp://${apiServer}`);
    this.#apiServer = await podNet.listen(addressPlan.kubernetesService, 443, (socket) => {
      const upstream = net.connect({ host: hostname, port: Number(port), allowHalfOpen: true });
      upstream.once('error', () => resetSocket(socket));
      joinSockets(socket, upstream);
    });
    this.#subscription = services.onChange(() => void this.#reconcile());
    await this.#reconcile();
  }

  /** The endpoints behind a Service port now, for status pages and tests; key as in `ServiceEntry`. */
  entry(key: string): ServiceEntry | undefined {
    return this.#table.get(key);
  }

  async #reconcile(): Promise<void> {
    this.#again = true;
    this.#reconciling ??= (async () => {
      while (this.#again && !this.#closed) {
        this.#again = false;
        await this.#pass();
      }
      this.#reconciling = undefined;
    })();
    await this.#reconciling;
  }

  async #pass(): Promise<void> {
    const { services } = this.#options;
    this.#table = serviceTable(services.services(), services.slicesByService());
    this.#balancer.retain(new Set(this.#table.keys()));
    const wanted = this.#wantedAddresses();
    for (const [address, listener] of [...this.#listening]) {
      if (wanted.has(address)) continue;
      this.#listening.delete(address);
      await listener[Symbol.asyncDispose]();
    }
    for (const address of [...this.#reported]) if (!wanted.has(address)) this.#reported.delete(address);
    let refused = false;
    for (const [address, want] of wanted) {
      if (this.#listening.has(address)) continue;
      try {
        this.#listening.set(address, await this.#listen(want));
        this.#reported.delete(address);
      } catch (error) {
        refused = true;
        this.#report(address, want, error as Error);
      }
    }
    clearTimeout(this.#retry);
    if (refused && !this.#closed) this.#retry = setTimeout(() => void this.#reconcile(), retryMs).unref();
  }

  /** Addresses of Services with endpoints: without any, nobody listens and a client is refused at once. */
  #wantedAddresses(): Map<string, Wanted> {
    const wanted = new Map<string, Wanted>();
    const add = (want: Wanted): void => {
      const address = `${want.where} ${want.ip}:${want.port}`;
      if (!wanted.has(address)) wanted.set(address, want);
    };
    for (const entry of this.#table.values()) {
      if (entry.targets.length === 0) continue;
      for (const ip of entry.clusterIPs) if (!isReserved(ip, entry.port)) add({ entryKey: entry.key, where: 'cluster', ip, port: entry.port });
      if (entry.nodePort === undefined) continue;
      for (const ip of this.#options.nodeIps) add({ entryKey: entry.key, where: 'cluster', ip, port: entry.nodePort });
      add({ entryKey: entry.key, where: 'host', ip: this.#options.nodePortAddress, port: entry.nodePort });
    }
    return wanted;
  }

  async #listen(want: Wanted): Promise<AsyncDisposable> {
    const serve = (socket: Duplex): void => void this.#serve(want.entryKey, socket);
    if (want.where === 'cluster') return this.#options.podNet.listen(want.ip, want.port, serve);
    const server = net.createServer({ allowHalfOpen: true });
    const listener = serveConnections(server, serve);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(want.port, want.ip, resolve);
    });
    return listener;
  }

  async #serve(entryKey: string, socket: Duplex): Promise<void> {
    const client = (socket as net.Socket).remoteAddress ?? '';
    const entry = this.#table.get(entryKey);
    for (const target of entry === undefined ? [] : this.#balancer.order(entry, client)) {
      try {
        const upstream = await this.#options.podNet.dial(target.ip, target.port, AbortSignal.timeout(dialTimeoutMs));
        if (entry !== undefined) this.#balancer.connected(entry, client, target);
        joinSockets(socket, upstream);
        return;
      } catch {
        // A pod that is just going: the next endpoint may do.
      }
    }
    resetSocket(socket);
  }

  #report(address: string, want: Wanted, error: Error): void {
    if (this.#reported.has(address)) return;
    this.#reported.add(address);
    const entry = this.#table.get(want.entryKey);
    if (entry === undefined) return;
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === 'EADDRINUSE' ? 'another program uses that port' : error.message;
    const what = want.port === entry.nodePort ? 'NodePort' : 'ClusterIP';
    this.#options.onProblem?.({
      namespace: entry.namespace,
      name: entry.name,
      uid: entry.uid,
      reason: `${what}Unavailable`,
      message: `cannot listen on ${want.ip}:${want.port} ${want.where === 'host' ? 'of this machine' : 'in the pod network'} for ${what} ${want.port}: ${why}; trying again every ${retryMs / 1000} s`,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#subscription?.[Symbol.dispose]();
    await this.#reconciling;
    await Promise.all([...this.#listening.values(), ...(this.#apiServer ? [this.#apiServer] : [])].map((listener) => listener[Symbol.asyncDispose]()));
    this.#listening.clear();
  }
}

function isReserved(ip: string, port: number): boolean {
  return (ip === addressPlan.kubernetesService && port === 443) || (ip === addressPlan.clusterDns && port === 53);
}

export async function startServiceProxy(options: ServiceProxyOptions): Promise<ServiceProxy> {
  const proxy = new ServiceProxy(options);
  await proxy.start();
  return proxy;
}
