import type { RequestRecord } from '../protocol/index.ts';
import { RequestTracker, type RequestTrackerOptions } from './requestTracker.ts';

/** The records of the last requests, running ones included, found by request id. Bounded: the oldest goes when a new one comes. */
export class RequestRecordStore {
  readonly #limit: number;
  /** A `Map` keeps insertion order, so its first key is the oldest. */
  readonly #records = new Map<string, RequestRecord>();
  readonly #listeners = new Set<(record: RequestRecord) => void>();
  readonly #notify = (record: RequestRecord): void => {
    for (const listener of this.#listeners) listener(record);
  };

  constructor(limit = 1000) {
    this.#limit = limit;
  }

  /** A new request. An id that was used before means the new one from now on. */
  begin(options: Omit<RequestTrackerOptions, 'onChange'>): RequestTracker {
    const tracker = new RequestTracker({ ...options, onChange: this.#notify });
    this.#records.delete(options.requestId);
    this.#records.set(options.requestId, tracker.record);
    if (this.#records.size > this.#limit) this.#records.delete(this.#records.keys().next().value as string);
    return tracker;
  }

  get(requestId: string): RequestRecord | undefined {
    return this.#records.get(requestId);
  }

  /** Oldest first; the last `limit`. */
  list(limit: number): RequestRecord[] {
    return limit > 0 ? [...this.#records.values()].slice(-limit) : [];
  }

  /** Called when it is known which way a request goes, and when it ended. The record goes on changing: copy what is kept. */
  subscribe(listener: (record: RequestRecord) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }
}
