import type { RoutingDecision } from '../protocol/index.ts';

export type DecisionListener = (decision: RoutingDecision) => void;

/** The last decisions, in order, found by request id. Bounded: the oldest goes when a new one comes. */
export class DecisionStore {
  readonly #limit: number;
  /** A ring once it is full: `#next` is then the oldest. */
  readonly #ring: RoutingDecision[] = [];
  #next = 0;
  readonly #byRequest = new Map<string, RoutingDecision>();
  readonly #listeners = new Set<DecisionListener>();

  constructor(limit = 1000) {
    this.#limit = Math.max(1, Math.floor(limit));
  }

  get size(): number {
    return this.#ring.length;
  }

  add(decision: RoutingDecision): void {
    const oldest = this.#ring[this.#next];
    if (oldest && this.#byRequest.get(oldest.request_id) === oldest) this.#byRequest.delete(oldest.request_id);
    this.#ring[this.#next] = decision;
    this.#next = (this.#next + 1) % this.#limit;
    this.#byRequest.set(decision.request_id, decision);
    this.#notify(decision);
  }

  /** The latest decision of a request id. */
  get(requestId: string): RoutingDecision | undefined {
    return this.#byRequest.get(requestId);
  }

  /** Records how a request ended, and tells subscribers. False when the decision is no longer kept. */
  complete(requestId: string, outcome: NonNullable<RoutingDecision['outcome']>): boolean {
    const decision = this.#byRequest.get(requestId);
    if (!decision) return false;
    decision.outcome = outcome;
    this.#notify(decision);
    return true;
  }

  /** Oldest first; the last `limit` of those with `sequence > since`. */
  list({ limit = 100, since = -1 }: { limit?: number; since?: number } = {}): RoutingDecision[] {
    const oldestFirst = [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)];
    const decisions = (this.#ring.length < this.#limit ? this.#ring : oldestFirst).filter(({ sequence }) => sequence > since);
    return limit > 0 ? decisions.slice(-limit) : [];
  }

  /** Called once when a decision is made and again when its outcome is known. A listener that throws is dropped, routing goes on. */
  subscribe(listener: DecisionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  #notify(decision: RoutingDecision): void {
    for (const listener of this.#listeners) {
      try {
        listener(decision);
      } catch {
        this.#listeners.delete(listener);
      }
    }
  }
}
