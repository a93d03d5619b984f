/** One schedulable target: a worker and one of its data-parallel ranks. */
export interface WorkerSlot {
  /** Small, dense, reused after removal: what the index and the load tables count by. */
  readonly slot: number;
  readonly workerId: bigint;
  /** `workerId` as JSON carries it. */
  readonly id: string;
  readonly dpRank: number;
  readonly pod?: string;
}

export interface WorkerDescription {
  workerId: bigint;
  pod?: string;
  /** Data-parallel ranks this worker owns, from 0. Default 1. */
  dpRanks?: number;
  /** For busy thresholds and the queue: capacity of the worker's KV cache and of one prefill step. */
  totalKvBlocks?: number;
  maxNumBatchedTokens?: number;
}

/** The workers that discovery sees, each rank with a slot. Ordered by worker id, then rank, so that choices are reproducible. */
export class WorkerTable {
  readonly #workers = new Map<bigint, { description: WorkerDescription; slots: WorkerSlot[] }>();
  readonly #free: number[] = [];
  #ordered: WorkerSlot[] = [];
  #capacity = 0;

  /** One more than the largest slot in use or reusable. */
  get capacity(): number {
    return this.#capacity;
  }

  get slots(): readonly WorkerSlot[] {
    return this.#ordered;
  }

  get(workerId: bigint): WorkerDescription | undefined {
    return this.#workers.get(workerId)?.description;
  }

  has(workerId: bigint): boolean {
    return this.#workers.has(workerId);
  }

  find(workerId: bigint, dpRank: number): WorkerSlot | undefined {
    return this.#workers.get(workerId)?.slots[dpRank];
  }

  /** Replaces the set of workers. A worker whose rank count changed counts as removed and added. */
  set(descriptions: readonly WorkerDescription[]): { added: WorkerSlot[]; removed: WorkerSlot[] } {
    const wanted = new Map(descriptions.map((description) => [description.workerId, description]));
    const removed: WorkerSlot[] = [];
    for (const [workerId, { slots }] of this.#workers) {
      if (wanted.has(workerId) && slots.length === ranksOf(wanted.get(workerId)!)) continue;
      removed.push(...slots);
      this.#workers.delete(workerId);
    }
    this.#free.push(...removed.map(({ slot }) => slot));
    const added: WorkerSlot[] = [];
    for (const description of wanted.values()) {
      const known = this.#workers.get(description.workerId);
      if (known && known.description.pod === description.pod) known.description = description;
      else if (known) this.#workers.set(description.workerId, { description, slots: known.slots.map((slot) => renamed(slot, description)) });
      else added.push(...this.#add(description));
    }
    this.#ordered = [...this.#workers.values()].flatMap(({ slots }) => slots).sort(byWorkerThenRank);
    return { added, removed };
  }

  #add(description: WorkerDescription): WorkerSlot[] {
    const slots = Array.from({ length: ranksOf(description) }, (_, dpRank) =>
      renamed({ slot: this.#free.pop() ?? this.#capacity++, workerId: description.workerId, id: description.workerId.toString(), dpRank }, description),
    );
    this.#workers.set(description.workerId, { description, slots });
    return slots;
  }
}

const ranksOf = (description: WorkerDescription): number => Math.max(1, Math.floor(description.dpRanks ?? 1));

function renamed(slot: WorkerSlot, { pod }: WorkerDescription): WorkerSlot {
  const { pod: _former, ...identity } = slot;
  return pod === undefined ? identity : { ...identity, pod };
}

function byWorkerThenRank(a: WorkerSlot, b: WorkerSlot): number {
  if (a.workerId !== b.workerId) return a.workerId < b.workerId ? -1 : 1;
  return a.dpRank - b.dpRank;
}
