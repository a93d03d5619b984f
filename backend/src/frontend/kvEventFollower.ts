import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Logger } from '../observability/index.ts';
import type { RouterEvent } from '../protocol/index.ts';
import type { KvRouter } from '../router/index.ts';
import {
  decodeKvEvent,
  decodeKvEventBatch,
  endpointNames,
  topics,
  type EventPlane,
  type EventSubscription,
  type Instance,
  type RequestPlaneClient,
} from '../runtime/index.ts';

export interface KvEventFollowerOptions {
  router: KvRouter;
  plane: EventPlane;
  requests: RequestPlaneClient;
  logger: Logger;
  onApplied?: (status: string, eventType: string) => void;
  /** A newest event id that we do not have yet may still be on its way for this long. Default 200 ms. */
  graceMs?: number;
}

const page = z.object({ kind: z.enum(['events', 'tree_dump']), last_event_id: z.number().int().min(-1), events: z.array(z.unknown()) });

interface Followed {
  instance: Instance;
  recovering: boolean;
  /** When its whole cache was last asked for; `performance.now()`. */
  dumpedAt: number;
  abort: AbortController;
}

/** An orphaned event makes us ask for the whole cache at most this often per worker. */
const dumpIntervalMs = 5_000;

/**
 * Keeps a router's index true to what workers cache: follows the event plane, and asks a worker itself (over the request
 * plane) for everything when it appears, and for what was missed when event ids jump or the newest id does not arrive.
 */
export class KvEventFollower implements AsyncDisposable {
  readonly #options: KvEventFollowerOptions;
  readonly #workers = new Map<bigint, Followed>();
  readonly #events: EventSubscription;
  readonly #beacons: EventSubscription;
  #recoveries = 0;

  constructor(options: KvEventFollowerOptions) {
    this.#options = options;
    const onInterruption = (): void => {
      for (const id of this.#workers.keys()) void this.#recover(id, this.#next(id));
    };
    this.#events = options.plane.subscribe({ topic: topics.kvEvents, onMessage: (payload) => this.#receive(payload), onInterruption });
    this.#beacons = options.plane.subscribe({ topic: topics.kvMetrics, onMessage: (payload) => void this.#compare(payload) });
  }

  /** Times a worker was asked for events. */
  get recoveries(): number {
    return this.#recoveries;
  }

  /** The router must know the worker already. */
  add(instance: Instance): void {
    if (this.#workers.has(instance.instanceId)) return;
    const { logger, plane } = this.#options;
    const channel = instance.eventChannels[topics.kvEvents];
    if (channel === undefined || instance.endpoints[endpointNames.kvEvents] === undefined) {
      logger.warn('this worker publishes no KV events: a KV router sees no overlap on it', { worker_id: instance.instanceId, pod: instance.pod });
      return;
    }
    const listening = this.#events.add(channel);
    this.#beacons.add(channel);
    if (!listening) {
      logger.warn(
        `this worker publishes KV events on ${channel.kind.toLowerCase()}, this frontend listens on ${plane.kind}: a KV router sees no overlap on it`,
        {
          worker_id: instance.instanceId,
          pod: instance.pod,
        },
      );
      return;
    }
    this.#workers.set(instance.instanceId, { instance, recovering: false, dumpedAt: -Infinity, abort: new AbortController() });
    void this.#recover(instance.instanceId, undefined);
  }

  remove(instanceId: bigint): void {
    const followed = this.#workers.get(instanceId);
    if (followed === undefined) return;
    this.#workers.delete(instanceId);
    followed.abort.abort(new Error('the worker left'));
    const channel = followed.instance.eventChannels[topics.kvEvents];
    if (channel === undefined) return;
    this.#events.remove(channel);
    this.#beacons.remove(channel);
  }

  async close(): Promise<void> {
    for (const id of [...this.#workers.keys()]) this.remove(id);
    await Promise.all([this.#events.close(), this.#beacons.close()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #receive(payload: Uint8Array): void {
    try {
      const { workerId, storageTier, events } = decodeKvEventBatch(payload);
      for (const event of events) this.#apply({ workerId, storageTier, event });
    } catch (error) {
      this.#options.onApplied?.('invalid', 'unknown');
      this.#options.logger.warn(`event plane: unreadable KV event message: ${(error as Error).message}`);
    }
  }

  #apply(event: RouterEvent): void {
    const { router, logger, onApplied } = this.#options;
    const result = router.applyEvent(event);
    onApplied?.(result.status, event.event.data.type);
    if (result.status === 'gap' && result.gap !== undefined) {
      logger.warn(`KV events ${result.gap.first}..${result.gap.last} of worker ${event.workerId} are missing; asking the worker`);
      void this.#recover(event.workerId, result.gap.first);
    } else if (result.status === 'orphan' && this.#mayDump(event.workerId)) {
      logger.warn(`KV event without a known parent; asking the worker for its whole cache`, { worker_id: event.workerId, detail: result.detail });
      void this.#recover(event.workerId, undefined);
    } else if (result.status !== 'ok') logger.debug(`KV event ${result.status}`, { worker_id: event.workerId, detail: result.detail });
  }

  #mayDump(workerId: bigint): boolean {
    const followed = this.#workers.get(workerId);
    return followed !== undefined && !followed.recovering && performance.now() - followed.dumpedAt > dumpIntervalMs;
  }

  async #compare(payload: Uint8Array): Promise<void> {
    let batch;
    try {
      batch = decodeKvEventBatch(payload);
    } catch {
      // Counted and reported where events come in; a beacon repeats itself.
      return;
    }
    const { workerId, lastEventId } = batch;
    const followed = this.#workers.get(workerId);
    if (followed === undefined || followed.recovering || (this.#next(workerId) ?? 0) > lastEventId) return;
    await sleep(this.#options.graceMs ?? 200, undefined, { signal: followed.abort.signal }).catch(() => {});
    const next = this.#next(workerId) ?? 0;
    if (followed.abort.signal.aborted || followed.recovering || next > lastEventId) return;
    this.#options.logger.warn(`KV events ${next}..${lastEventId} of worker ${workerId} did not arrive; asking the worker`);
    await this.#recover(workerId, next);
  }

  /** The id of the next event expected of a worker; undefined when nothing is known of it. */
  #next(workerId: bigint): number | undefined {
    const last = this.#options.router.indexStats().workers.find(({ worker_id }) => worker_id === String(workerId))?.last_event_id;
    return last === undefined ? undefined : last + 1;
  }

  async #recover(workerId: bigint, start: number | undefined): Promise<void> {
    const followed = this.#workers.get(workerId);
    const { router, logger } = this.#options;
    if (followed === undefined || followed.recovering || !router.beginRecovery(workerId, 0)) return;
    followed.recovering = true;
    if (start === undefined) followed.dumpedAt = performance.now();
    this.#recoveries += 1;
    try {
      const { kind, lastEventId, events } = await this.#ask(followed, start);
      if (this.#workers.get(workerId) !== followed) return;
      router.completeRecovery(workerId, 0, { kind, events, lastEventId: lastEventId < 0 ? undefined : lastEventId });
      logger.info(
        `KV index of worker ${workerId} is current up to event ${lastEventId} (${kind === 'dump' ? 'whole cache' : 'missed events'}: ${events.length} events)`,
      );
    } catch (error) {
      router.abandonRecovery(workerId, 0);
      if (!followed.abort.signal.aborted) logger.warn(`could not get KV events of worker ${workerId}: ${(error as Error).message}`);
    } finally {
      followed.recovering = false;
    }
  }

  async #ask(followed: Followed, start: number | undefined) {
    const { instance, abort } = followed;
    const address = instance.endpoints[endpointNames.kvEvents]?.tcp ?? '';
    const answer = this.#options.requests.call({
      address,
      endpoint: endpointNames.kvEvents,
      requestId: `kv-events-${instance.instanceId}-${this.#recoveries}`,
      payload: start === undefined ? {} : { start_event_id: start },
      signal: abort.signal,
      deadlineMs: 30_000,
    });
    const events = [];
    let kind: 'events' | 'dump' = 'dump';
    let lastEventId = -1;
    for await (const item of answer) {
      const read = page.parse(item);
      kind = read.kind === 'events' ? 'events' : 'dump';
      lastEventId = read.last_event_id;
      events.push(...read.events.map(decodeKvEvent));
    }
    return { kind, lastEventId, events };
  }
}
