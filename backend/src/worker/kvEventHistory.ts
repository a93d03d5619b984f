import type { KvCacheEvent } from '../protocol/index.ts';

/** The latest KV events of this worker, for a router that missed some (Dynamo's LocalKvIndexer keeps such a ring). */
export class KvEventHistory {
  readonly #limit: number;
  #events: KvCacheEvent[] = [];

  constructor(limit = 4_096) {
    this.#limit = limit;
  }

  /** -1 before the first event. */
  get lastEventId(): number {
    return this.#events.at(-1)?.eventId ?? -1;
  }

  add(event: KvCacheEvent): void {
    this.#events.push(event);
    // Cut in halves, so that adding stays cheap.
    if (this.#events.length >= 2 * this.#limit) this.#events = this.#events.slice(-this.#limit);
  }

  /**
   * Events `first`… in order, `undefined` when some of them are no longer kept (then only a dump of the cache helps),
   * empty when none is that new.
   */
  since(first: number): KvCacheEvent[] | undefined {
    const oldest = this.#events[0]?.eventId;
    if (oldest === undefined) return first <= 0 ? [] : undefined;
    if (first < oldest) return undefined;
    return this.#events.slice(first - oldest);
  }
}
