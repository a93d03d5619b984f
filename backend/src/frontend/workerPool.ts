import type { Logger } from '../observability/index.ts';
import type { ModelDeploymentCard } from '../protocol/index.ts';
import { KvRouter, RouterQueue, type BusyThresholds, type KvRouterOptions, type QueuePolicy } from '../router/index.ts';
import type { EventPlane, Instance, RequestPlaneClient } from '../runtime/index.ts';
import { KvEventFollower } from './kvEventFollower.ts';

/** What the workers of a pool do for a request: its prompt (`prefill`), or its answer (`decode`; without prefill workers its prompt too). */
export type WorkerRole = 'prefill' | 'decode';

export interface WorkerPoolOptions {
  router: Omit<KvRouterOptions, 'blockSize'>;
  queue?: { threshold: number; policy: QueuePolicy } | undefined;
  /** Absent: no KV events are followed. */
  eventPlane: EventPlane | undefined;
  requests: RequestPlaneClient;
  logger: Logger;
  onKvEvent?: (status: string, eventType: string, role: WorkerRole) => void;
}

/** The workers of one model and one role, with the router that chooses among them. Comes and goes apart from the model's other pool. */
export class WorkerPool implements AsyncDisposable {
  /** The model's. */
  readonly name: string;
  readonly role: WorkerRole;
  /** Of the first worker: every other one agrees in what matters. */
  readonly card: ModelDeploymentCard;
  readonly router: KvRouter;
  /** Above these a worker takes no more. May be changed at any time. */
  readonly busy: BusyThresholds;
  /** Set where requests wait while all workers are saturated. */
  readonly queue: RouterQueue | undefined;
  readonly follower: KvEventFollower | undefined;
  readonly #workers = new Map<bigint, Instance>();

  constructor(role: WorkerRole, card: ModelDeploymentCard, options: WorkerPoolOptions) {
    const { eventPlane: plane, requests, logger, onKvEvent, queue } = options;
    this.name = card.display_name;
    this.role = role;
    this.card = card;
    this.busy = { ...options.router.busy };
    this.router = new KvRouter({ ...options.router, busy: this.busy, blockSize: card.kv_cache_block_size });
    this.queue = queue === undefined ? undefined : new RouterQueue({ router: this.router, ...queue });
    if (plane === undefined || options.router.mode !== 'kv') return;
    const onApplied = onKvEvent === undefined ? {} : { onApplied: (status: string, type: string): void => onKvEvent(status, type, role) };
    this.follower = new KvEventFollower({ router: this.router, plane, requests, logger, ...onApplied });
  }

  get workers(): ReadonlyMap<bigint, Instance> {
    return this.#workers;
  }

  add(instance: Instance): void {
    this.#workers.set(instance.instanceId, instance);
    this.#tellRouter();
    this.follower?.add(instance);
  }

  remove(instanceId: bigint): void {
    if (!this.#workers.delete(instanceId)) return;
    this.follower?.remove(instanceId);
    this.#tellRouter();
  }

  async close(): Promise<void> {
    this.queue?.[Symbol.dispose]();
    await this.follower?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #tellRouter(): void {
    this.router.setWorkers(
      [...this.#workers.values()].map(({ instanceId, pod, modelCard }) => ({
        workerId: instanceId,
        ...(pod === undefined ? {} : { pod }),
        ...(modelCard === undefined ? {} : { totalKvBlocks: modelCard.total_kv_blocks, maxNumBatchedTokens: modelCard.max_num_batched_tokens }),
      })),
    );
  }
}
