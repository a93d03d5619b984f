import type { RoutingDecision } from '../protocol/index.ts';
import { DecisionColumns } from './decisionColumns.ts';
import { RecordedDecision } from './recordedDecision.ts';

export type DecisionListener = (decision: RoutingDecision) => void;
type Outcome = NonNullable<RoutingDecision['outcome']>;

/** The last decisions, in order, found by request id. Bounded: the oldest goes when a new one comes. What is handed out can be read for ever. */
export class DecisionStore {
  /** How many decisions are kept. */
  readonly limit: number;
  readonly #columns: DecisionColumns;
  readonly #outcomes: (Outcome | undefined)[] = [];
  /** Where the next one goes: once all places are taken, the oldest is there. */
  #next = 0;
  #size = 0;
  readonly #listeners = new Set<DecisionListener>();

  constructor(limit = 1000, createRows: (length: number) => Uint32Array) {
    this.limit = Math.max(1, Math.floor(limit));
    this.#columns = new DecisionColumns(this.limit, createRows);
  }

  get size(): number {
    return this.#size;
  }

  /** In the order of `sequence`, without gaps. */
  add(decision: RecordedDecision): void {
    this.#columns.put(this.#next, decision.facts);
    this.#outcomes[this.#next] = undefined;
    this.#next = (this.#next + 1) % this.limit;
    this.#size = Math.min(this.#size + 1, this.limit);
    if (this.#listeners.size === 0) return;
    decision.keep();
    this.#tell(decision);
  }

  /** The latest decision of a request id. */
  get(requestId: string): RoutingDecision | undefined {
    const place = this.#find(requestId);
    return place === undefined ? undefined : this.#read(place);
  }

  /** Records how a request ended, and tells subscribers. False when the decision is no longer kept. */
  complete(requestId: string, outcome: Outcome): boolean {
    const place = this.#find(requestId);
    if (place === undefined) return false;
    this.#outcomes[place] = outcome;
    if (this.#listeners.size > 0) this.#tell(this.#read(place));
    return true;
  }

  /** Oldest first; the last `limit` of those with `sequence > since`. */
  list({ limit = 100, since = -1 }: { limit?: number; since?: number } = {}): RoutingDecision[] {
    const found: RoutingDecision[] = [];
    for (let back = 1; back <= this.#size && found.length < limit; back++) {
      const place = this.#back(back);
      if (this.#columns.sequenceOf(place) <= since) break;
      found.push(this.#read(place));
    }
    return found.reverse();
  }

  /** Called once when a decision is made and again when its outcome is known. A listener that throws is dropped, routing goes on. */
  subscribe(listener: DecisionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** From the latest on, because requests end not long after they were routed: a map would have to grow and forget while requests wait. */
  #find(requestId: string): number | undefined {
    for (let back = 1; back <= this.#size; back++) {
      if (this.#columns.requestIdOf(this.#back(back)) === requestId) return this.#back(back);
    }
    return undefined;
  }

  #back(decisions: number): number {
    return (this.#next - decisions + this.limit) % this.limit;
  }

  #read(place: number): RecordedDecision {
    const decision = new RecordedDecision(this.#columns.factsOf(place));
    const outcome = this.#outcomes[place];
    if (outcome) decision.outcome = outcome;
    decision.keep();
    return decision;
  }

  #tell(decision: RoutingDecision): void {
    for (const listener of this.#listeners) {
      try {
        listener(decision);
      } catch {
        this.#listeners.delete(listener);
      }
    }
  }
}
