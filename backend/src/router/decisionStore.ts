import type { RoutingDecision } from '../protocol/index.ts';
import type { RecordedDecision } from './recordedDecision.ts';

export type DecisionListener = (decision: RoutingDecision) => void;

/**
 * The last decisions, in order, found by request id. Bounded: the oldest goes when a new one comes. What goes is not looked at any more:
 * its memory has not been touched for long, and would hold up the decision that comes.
 */
export class DecisionStore {
  /** How many decisions are kept. */
  readonly limit: number;
  /** A ring once it is full: `#next` is then the oldest. */
  readonly #ring: RecordedDecision[] = [];
  #next = 0;
  #latest = -1;
  /** Decisions since the younger map was empty, and as many before. Some of the older ones are not kept any more. */
  #byRequest = new Map<string, RecordedDecision>();
  #older = new Map<string, RecordedDecision>();
  readonly #listeners = new Set<DecisionListener>();

  constructor(limit = 1000) {
    this.limit = Math.max(1, Math.floor(limit));
  }

  get size(): number {
    return this.#ring.length;
  }

  /** In the order of `sequence`, without gaps. */
  add(decision: RecordedDecision): void {
    this.#ring[this.#next] = decision;
    this.#next = (this.#next + 1) % this.limit;
    this.#latest = decision.sequence;
    if (this.#byRequest.size >= this.limit) {
      this.#older = this.#byRequest;
      this.#byRequest = new Map();
    }
    this.#byRequest.set(decision.request_id, decision);
    this.#notify(decision);
  }

  /** The latest decision of a request id. */
  get(requestId: string): RoutingDecision | undefined {
    const decision = this.#find(requestId);
    decision?.keep();
    return decision;
  }

  /** Records how a request ended, and tells subscribers. False when the decision is no longer kept. */
  complete(requestId: string, outcome: NonNullable<RoutingDecision['outcome']>): boolean {
    const decision = this.#find(requestId);
    if (!decision) return false;
    decision.outcome = outcome;
    this.#notify(decision);
    return true;
  }

  /** Oldest first; the last `limit` of those with `sequence > since`. */
  list({ limit = 100, since = -1 }: { limit?: number; since?: number } = {}): RoutingDecision[] {
    if (limit <= 0) return [];
    const oldestFirst = this.#ring.length < this.limit ? this.#ring : [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
    const decisions = oldestFirst.filter(({ sequence }) => sequence > since).slice(-limit);
    for (const decision of decisions) decision.keep();
    return decisions;
  }

  /** Called once when a decision is made and again when its outcome is known. A listener that throws is dropped, routing goes on. */
  subscribe(listener: DecisionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #find(requestId: string): RecordedDecision | undefined {
    const decision = this.#byRequest.get(requestId) ?? this.#older.get(requestId);
    return decision && decision.sequence > this.#latest - this.limit ? decision : undefined;
  }

  #notify(decision: RecordedDecision): void {
    if (this.#listeners.size === 0) return;
    decision.keep();
    for (const listener of this.#listeners) {
      try {
        listener(decision);
      } catch {
        this.#listeners.delete(listener);
      }
    }
  }
}
