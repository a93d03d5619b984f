import type { WorkerSlot } from './workerTable.ts';

/** What the router believes a worker is doing now, from the requests that went through this router. */
export interface WorkerLoad {
  /** Prompt tokens routed there that still have to be computed. */
  activePrefillTokens: number;
  /** Distinct blocks of all running requests: a shared prefix counts once. */
  activeDecodeBlocks: number;
  activeRequests: number;
}

export interface ActiveRequest {
  requestId: string;
  slot: WorkerSlot;
  /** Sequence hashes of the prompt's full blocks. */
  sequence: ArrayLike<bigint>;
  /** Prompt tokens that are not cached at the worker. */
  prefillTokens: number;
}

interface TrackedRequest extends ActiveRequest {
  startedAt: number;
  prefilling: boolean;
  outputBlocks: number;
}

interface SlotLoad {
  prefillTokens: number;
  outputBlocks: number;
  requests: number;
  /** Sequence hash → running requests that use the block. */
  blocks: Map<bigint, number>;
}

/**
 * Active sequences as in Dynamo (sequences/single.rs): added at routing, prefill taken off at the first token, freed at the end.
 * Requests nobody freed are purged after `staleAfterMs`, so a crash of a client handler cannot load a worker for ever.
 */
export class ActiveSequences {
  readonly #requests = new Map<string, TrackedRequest>();
  readonly #slots = new Map<number, SlotLoad>();
  readonly #staleAfterMs: number;
  #purged = 0;

  /** Dynamo's expiry is one hour: a guard against leaks, not a time limit for requests. */
  constructor({ staleAfterMs = 3_600_000 }: { staleAfterMs?: number } = {}) {
    this.#staleAfterMs = staleAfterMs;
  }

  get size(): number {
    return this.#requests.size;
  }

  /** Requests that were dropped because nobody freed them in time. */
  get purged(): number {
    return this.#purged;
  }

  /** False when the request id is already active: it is not added a second time, as in Dynamo. `now` in milliseconds. */
  add(request: ActiveRequest, now: number): boolean {
    if (this.#requests.has(request.requestId)) return false;
    this.#requests.set(request.requestId, { ...request, startedAt: now, prefilling: true, outputBlocks: 0 });
    const load = this.#load(request.slot.slot);
    load.requests++;
    load.prefillTokens += request.prefillTokens;
    for (let i = 0; i < request.sequence.length; i++) {
      const block = request.sequence[i]!;
      load.blocks.set(block, (load.blocks.get(block) ?? 0) + 1);
    }
    return true;
  }

  slotOf(requestId: string): WorkerSlot | undefined {
    return this.#requests.get(requestId)?.slot;
  }

  prefillCompleted(requestId: string): boolean {
    const request = this.#requests.get(requestId);
    if (!request?.prefilling) return false;
    request.prefilling = false;
    this.#load(request.slot.slot).prefillTokens -= request.prefillTokens;
    return true;
  }

  addOutputBlocks(requestId: string, blocks: number): boolean {
    const request = this.#requests.get(requestId);
    if (!request || !Number.isSafeInteger(blocks) || blocks < 0) return false;
    request.outputBlocks += blocks;
    this.#load(request.slot.slot).outputBlocks += blocks;
    return true;
  }

  free(requestId: string): boolean {
    const request = this.#requests.get(requestId);
    if (!request) return false;
    this.prefillCompleted(requestId);
    this.#requests.delete(requestId);
    const load = this.#load(request.slot.slot);
    load.requests--;
    load.outputBlocks -= request.outputBlocks;
    for (let i = 0; i < request.sequence.length; i++) {
      const block = request.sequence[i]!;
      const users = load.blocks.get(block)! - 1;
      if (users === 0) load.blocks.delete(block);
      else load.blocks.set(block, users);
    }
    if (load.requests === 0) this.#slots.delete(request.slot.slot);
    return true;
  }

  /** Drops the requests of a worker that is gone. */
  removeSlot(slot: number): void {
    if (!this.#slots.has(slot)) return;
    for (const request of this.#requests.values()) if (request.slot.slot === slot) this.free(request.requestId);
  }

  /** Returns the ids of requests dropped for age. */
  purgeStale(now: number): string[] {
    const stale = [...this.#requests.values()].filter(({ startedAt }) => now - startedAt > this.#staleAfterMs).map(({ requestId }) => requestId);
    for (const requestId of stale) this.free(requestId);
    this.#purged += stale.length;
    return stale;
  }

  loadOf(slot: number): WorkerLoad {
    const load = this.#slots.get(slot);
    if (!load) return { activePrefillTokens: 0, activeDecodeBlocks: 0, activeRequests: 0 };
    return { activePrefillTokens: load.prefillTokens, activeDecodeBlocks: load.blocks.size + load.outputBlocks, activeRequests: load.requests };
  }

  /** Blocks of this prompt that no running request of the slot uses yet. */
  additionalBlocks(slot: number, sequence: ArrayLike<bigint>): number {
    const blocks = this.#slots.get(slot)?.blocks;
    if (!blocks || blocks.size === 0) return sequence.length;
    // Running prompts are whole prefixes, so the first block nobody uses ends the shared part.
    let shared = 0;
    while (shared < sequence.length && blocks.has(sequence[shared]!)) shared++;
    return sequence.length - shared;
  }

  #load(slot: number): SlotLoad {
    let load = this.#slots.get(slot);
    if (!load) this.#slots.set(slot, (load = { prefillTokens: 0, outputBlocks: 0, requests: 0, blocks: new Map() }));
    return load;
  }
}
