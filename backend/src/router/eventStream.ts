/** What one (worker, dp rank) has told us so far: its event ids prove whether we heard everything. */
export class EventStream {
  #lastEventId: number | undefined;
  #gaps = 0;
  #lastGap: EventGap | undefined;
  #lastEventAt: number | undefined;

  get lastEventId(): number | undefined {
    return this.#lastEventId;
  }

  get gaps(): number {
    return this.#gaps;
  }

  /** The last range of events that never came, until `recovered`. */
  get openGap(): EventGap | undefined {
    return this.#lastGap;
  }

  /** Milliseconds on the clock of the caller. */
  get lastEventAt(): number | undefined {
    return this.#lastEventAt;
  }

  /**
   * Judges the next event id.
   * - `next`: the expected one.
   * - `gap`: some before it were missed (also when the first one seen is not 0: we joined late).
   * - `restart`: id 0 again, so the publisher began anew with an empty cache.
   * - `duplicate`: already seen; delivery is at least once.
   */
  accept(eventId: number, now: number): { order: 'next' | 'restart' | 'duplicate' } | { order: 'gap'; gap: EventGap } {
    this.#lastEventAt = now;
    const expected = this.#lastEventId === undefined ? 0 : this.#lastEventId + 1;
    if (eventId < expected) {
      if (eventId !== 0 || this.#lastEventId === 0) return { order: 'duplicate' };
      this.#lastEventId = 0;
      this.#lastGap = undefined;
      return { order: 'restart' };
    }
    this.#lastEventId = eventId;
    if (eventId === expected) return { order: 'next' };
    this.#gaps++;
    const gap = { first: this.#lastGap?.first ?? expected, last: eventId - 1 };
    this.#lastGap = gap;
    return { order: 'gap', gap };
  }

  /** The state now includes everything up to `lastEventId` (from a replay or a dump). */
  recovered(lastEventId: number | undefined): void {
    this.#lastEventId = lastEventId;
    this.#lastGap = undefined;
  }
}

/** Event ids `first` to `last`, both inclusive. */
export interface EventGap {
  first: number;
  last: number;
}
