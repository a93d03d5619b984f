import type { Logger } from '../observability/index.ts';
import type { SequenceEvent } from '../router/index.ts';
import { topics, type Discovery, type EventPlane, type EventSubscription, type Instance, type InstanceListener } from '../runtime/index.ts';
import { decodeSequenceEvents, encodeSequenceEvents } from './sequenceEventCodec.ts';
import type { WorkerPool } from './workerPool.ts';

/** A batch is sent when it is this long, or this old: Dynamo's bounds. */
const batchEvents = 256;
const batchMs = 1;

export interface ReplicaSyncState {
  /** Events told to other frontends, events of theirs that changed a load here, and messages that could not be read. */
  sent: number;
  applied: number;
  invalid: number;
}

/**
 * `--router-replica-sync`: frontends of one namespace tell each other what they sent where, so that each knows the load of all.
 * On NATS they share a subject; on ZeroMQ each announces its socket in discovery. What was told before a frontend came is
 * unknown to it; what a frontend that died had running counts until it is stale, as in Dynamo.
 */
export class ReplicaSync implements InstanceListener, AsyncDisposable {
  readonly #plane: EventPlane;
  readonly #logger: Logger;
  readonly #subscription: EventSubscription;
  readonly #pools = new Map<string, WorkerPool>();
  readonly #peers = new Map<bigint, Instance>();
  readonly #waiting = new Map<WorkerPool, SequenceEvent[]>();
  readonly #state: ReplicaSyncState = { sent: 0, applied: 0, invalid: 0 };
  #timer: NodeJS.Timeout | undefined;

  constructor({ plane, logger }: { plane: EventPlane; logger: Logger }) {
    this.#plane = plane;
    this.#logger = logger;
    this.#subscription = plane.subscribe({ topic: topics.activeSequences, onMessage: (payload) => this.#receive(payload) });
    if (plane.kind === 'nats') this.#subscription.add(plane.channel(topics.activeSequences));
  }

  get state(): Readonly<ReplicaSyncState> {
    return { ...this.#state };
  }

  /** Announces this frontend where others have to connect to it. Rejects with `DiscoveryError`. */
  async announce(discovery: Discovery, namespace: string): Promise<void> {
    if (this.#plane.kind === 'nats') return;
    if (discovery.backend === 'kubernetes') {
      // Instances are what EndpointSlices with a `system` port name: workers.
      this.#logger.warn('--router-replica-sync over ZeroMQ needs discovery of frontends, which Kubernetes discovery has not: use NATS');
      return;
    }
    const eventChannels = { [topics.activeSequences]: this.#plane.channel(topics.activeSequences) };
    await discovery.register({ namespace, component: 'frontend', endpoints: {}, eventChannels });
  }

  readonly added = (instance: Instance): void => {
    const channel = instance.eventChannels[topics.activeSequences];
    if (channel === undefined || this.#plane.kind === 'nats') return;
    this.removed(instance.instanceId);
    if (this.#subscription.add(channel)) this.#peers.set(instance.instanceId, instance);
  };

  readonly removed = (instanceId: bigint): void => {
    const channel = this.#peers.get(instanceId)?.eventChannels[topics.activeSequences];
    this.#peers.delete(instanceId);
    if (channel !== undefined) this.#subscription.remove(channel);
  };

  /** Tells others of the pool's requests, and the pool of theirs. A pool of the same model and role takes the former's place. */
  addPool(pool: WorkerPool): void {
    this.#pools.set(keyOf(pool.name, pool.role), pool);
    pool.router.onSequenceEvent((event) => this.#tell(pool, event));
  }

  async close(): Promise<void> {
    this.#flush();
    await this.#subscription.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #tell(pool: WorkerPool, event: SequenceEvent): void {
    const waiting = this.#waiting.get(pool) ?? [];
    this.#waiting.set(pool, waiting);
    if (waiting.push(event) >= batchEvents) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), batchMs);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [pool, events] of this.#waiting) {
      this.#plane.publish(topics.activeSequences, encodeSequenceEvents({ routerId: pool.router.routerId, model: pool.name, pool: pool.role, events }));
      this.#state.sent += events.length;
    }
    this.#waiting.clear();
  }

  #receive(payload: Uint8Array): void {
    try {
      const { model, pool, events } = decodeSequenceEvents(payload);
      const router = this.#pools.get(keyOf(model, pool))?.router;
      for (const event of events) if (router?.applySequenceEvent(event) === true) this.#state.applied += 1;
    } catch (error) {
      this.#state.invalid += 1;
      this.#logger.warn(`event plane: unreadable message of another frontend: ${(error as Error).message}`);
    }
  }
}

const keyOf = (model: string, pool: string): string => `${pool} ${model}`;
