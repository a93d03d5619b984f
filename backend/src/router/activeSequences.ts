import { type ActiveBlocks, MapActiveBlocks } from './activeBlocks.ts';
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
  sequence: BigUint64Array;
  /** Prompt tokens that are not cached at the worker. */
  prefillTokens: number;
  /** Full blocks of the prompt that are not cached at the worker. */
  newBlocks: number;
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
  /** Distinct prompt blocks, kept here because every decision reads it for every worker. */
  promptBlocks: number;
}

/**
 * Active sequences as in Dynamo (sequences/single.rs): added at routing, prefill taken off at the first token, freed at the end.
 * Requests nobody freed are purged after `staleAfterMs`, so a crash of a client handler cannot load a worker for ever.
 */
export class ActiveSequences {
  readonly #requests = new Map<string, TrackedRequest>();
  readonly #slots = new Map<number, SlotLoad>();
  readonly #blocks: ActiveBlocks;
  readonly #staleAfterMs: number;
  #purged = 0;
  #shared = new Uint32Array(0);

  /** Dynamo's expiry is one hour: a guard against leaks, not a time limit for requests. */
  constructor({ staleAfterMs = 3_600_000, blocks = new MapActiveBlocks() }: { staleAfterMs?: number; blocks?: ActiveBlocks } = {}) {
    this.#blocks = blocks;
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
    this.#blocks.acquire(request.slot.slot, request.sequence);
    load.promptBlocks = this.#blocks.count(request.slot.slot);
    return true;
  }

  slotOf(requestId: string): WorkerSlot | undefined {
    return this.#requests.get(requestId)?.slot;
  }

  /** Whether this request computes at least one full block that its worker did not have. */
  storesBlocks(requestId: string): boolean {
    const request = this.#requests.get(requestId);
    return request !== undefined && request.newBlocks > 0;
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
    this.#blocks.release(request.slot.slot, request.sequence);
    load.promptBlocks = this.#blocks.count(request.slot.slot);
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
    return { activePrefillTokens: load.prefillTokens, activeDecodeBlocks: load.promptBlocks + load.outputBlocks, activeRequests: load.requests };
  }

  /** For each slot below `slots`: leading blocks of this prompt that running requests use already. Valid until the next call. */
  sharedPrefix(sequence: BigUint64Array, slots: number): Uint32Array {
    if (this.#shared.length !== slots) this.#shared = new Uint32Array(slots);
    this.#blocks.sharedPrefix(sequence, this.#shared);
    return this.#shared;
  }

  #load(slot: number): SlotLoad {
    let load = this.#slots.get(slot);
    if (!load) this.#slots.set(slot, (load = { prefillTokens: 0, outputBlocks: 0, requests: 0, promptBlocks: 0 }));
    return load;
  }
}
