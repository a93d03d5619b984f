import { setTimeout as sleep } from 'node:timers/promises';
import { KubeError, type KubeClient, type KubeObject } from '../../kube/index.ts';
import type { Logger } from '../logger.ts';
import { nodeObject, nodesType, nodeStatus, podNetLabel, type NodeDescription } from './nodeObject.ts';

const leasesType = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' };
const leaseNamespace = 'kube-node-lease';
const leaseSeconds = 40;
const renewMs = 10_000;
const statusMs = 60_000;

/** Keeps one virtual node registered and alive: the Node object, its status, and its Lease (renewed every 10 s). */
export class NodeController {
  readonly #client: KubeClient;
  readonly #node: NodeDescription;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #transitions = new Map<string, string>();
  #uid = '';
  #loops: Promise<unknown> | undefined;

  constructor(options: { client: KubeClient; node: NodeDescription; log: Logger }) {
    this.#client = options.client;
    this.#node = options.node;
    this.#log = options.log;
  }

  get uid(): string {
    return this.#uid;
  }

  /** Registers the node (or takes over its object) and starts the heartbeats. */
  async start(): Promise<void> {
    const { name } = this.#node;
    const wanted = nodeObject(this.#node);
    const before = await this.#client.find(nodesType, name);
    const found = before ?? (await this.#client.create(nodesType, wanted));
    if (before !== undefined && before.metadata.labels?.[podNetLabel] !== this.#node.podNet) {
      await this.#client.patch(nodesType, name, undefined, { metadata: { labels: wanted.metadata.labels ?? {} } });
    }
    this.#uid = found.metadata.uid ?? '';
    await this.#writeStatus();
    await this.#renewLease();
    this.#loops = Promise.all([this.#every(renewMs, () => this.#renewLease()), this.#every(statusMs, () => this.#writeStatus())]);
  }

  /** Stops the heartbeats and reports the node as not ready. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#loops;
    await this.#writeStatus(false).catch(() => {});
  }

  async #every(periodMs: number, task: () => Promise<void>): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      await sleep(periodMs, undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      await task().catch(async (error: unknown) => {
        this.#log.warn(`heartbeat of ${this.#node.name}`, error);
        // Somebody deleted the Node: a kubelet registers again.
        if (error instanceof KubeError && error.status === 404) await this.#client.create(nodesType, nodeObject(this.#node)).catch(() => {});
      });
    }
  }

  async #writeStatus(ready = true): Promise<void> {
    const status = nodeStatus(this.#node, Date.now(), this.#transitions, ready);
    await this.#client.patch(nodesType, this.#node.name, undefined, { status }, { type: 'application/strategic-merge-patch+json', subresource: 'status' });
  }

  async #renewLease(): Promise<void> {
    const { name } = this.#node;
    const renewTime = new Date().toISOString().replace('Z', '000Z');
    const spec = { holderIdentity: name, leaseDurationSeconds: leaseSeconds, renewTime };
    try {
      await this.#client.patch(leasesType, name, leaseNamespace, { spec });
    } catch (error) {
      if (!(error instanceof KubeError && error.status === 404)) throw error;
      const lease: KubeObject = {
        metadata: { name, namespace: leaseNamespace, ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid: this.#uid }] },
        spec,
      };
      await this.#client.create(leasesType, lease);
    }
  }
}
