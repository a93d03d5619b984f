import type { KvCacheEvent } from '../protocol/index.ts';
import { encodeKvEventBatch, topics, type EventPlane } from '../runtime/index.ts';
import type { Logger } from '../observability/index.ts';
import { KvEventHistory } from './kvEventHistory.ts';

export interface KvEventPublisherOptions {
  plane: Pick<EventPlane, 'kind' | 'state' | 'publish'>;
  workerId: bigint;
  logger: Logger;
  history?: KvEventHistory;
  /** How often the newest event id is repeated, so that listeners notice that they missed the last events. Default 1 s. */
  beaconMs?: number;
}

/** Events per message: keeps one message small and its JSON short. */
const eventsPerMessage = 64;

/** Sends the engine's KV events as they come, one message per turn of the event loop, and remembers the latest. */
export class KvEventPublisher implements Disposable {
  readonly history: KvEventHistory;
  readonly #options: KvEventPublisherOptions;
  readonly #beacon: NodeJS.Timeout;
  #pending: KvCacheEvent[] = [];

  constructor(options: KvEventPublisherOptions) {
    this.#options = options;
    this.history = options.history ?? new KvEventHistory();
    this.#beacon = setInterval(() => this.#send(topics.kvMetrics, []), options.beaconMs ?? 1_000).unref();
  }

  readonly publish = (event: KvCacheEvent): void => {
    this.history.add(event);
    this.#pending.push(event);
    if (this.#pending.length === 1) setImmediate(() => this.flush());
  };

  flush(): void {
    const events = this.#pending;
    this.#pending = [];
    for (let from = 0, to = 0; from < events.length; from = to) {
      const tier = events[from]?.storageTier;
      while (to < events.length && to - from < eventsPerMessage && events[to]?.storageTier === tier) to++;
      this.#send(topics.kvEvents, events.slice(from, to));
    }
    if (events.length > 0) this.#log(events);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#beacon);
    this.flush();
  }

  #send(topic: string, events: KvCacheEvent[]): void {
    const { plane, workerId } = this.#options;
    plane.publish(topic, encodeKvEventBatch({ workerId, storageTier: events[0]?.storageTier ?? 'device', lastEventId: this.history.lastEventId, events }));
  }

  #log(events: KvCacheEvent[]): void {
    let stored = 0;
    let removed = 0;
    let cleared = 0;
    let offloaded = 0;
    for (const { data, storageTier } of events) {
      if (storageTier === 'host_pinned') offloaded += data.type === 'stored' ? data.blocks.length : 0;
      else if (data.type === 'stored') stored += data.blocks.length;
      else if (data.type === 'removed') removed += data.blockHashes.length;
      else cleared += 1;
    }
    const { plane, logger } = this.#options;
    const parts = [
      stored > 0 && `stored ${stored} blocks`,
      removed > 0 && `removed ${removed} blocks`,
      offloaded > 0 && `moved ${offloaded} blocks to the host`,
      cleared > 0 && 'cleared all blocks',
    ].filter(Boolean);
    logger.info(`KV events published: ${parts.join(', ')}`, {
      event_ids: `${events[0]?.eventId}..${events.at(-1)?.eventId}`,
      plane: plane.kind,
      connected: plane.state.connected,
    });
  }
}
