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

interface TrackedRequest {
  slot: WorkerSlot;
  /** Its prompt in `ActiveBlocks`. */
  handle: number;
  prefillTokens: number;
  newBlocks: number;
  startedAt: number;
  prefilling: boolean;
  outputBlocks: number;
}

/** The load of every slot, by slot: every decision reads it for every worker. */
export interface LoadColumns {
  readonly prefillTokens: Float64Array;
  /** Distinct prompt blocks, and blocks of answers. */
  readonly promptBlocks: Float64Array;
  readonly outputBlocks: Float64Array;
  readonly requests: Float64Array;
}

/**
 * Active sequences as in Dynamo (sequences/single.rs): added at routing, prefill taken off at the first token, freed at the end.
 * Requests nobody freed are purged after `staleAfterMs`, so a crash of a client handler cannot load a worker for ever.
 */
export class ActiveSequences {
  readonly #requests = new Map<string, TrackedRequest>();
  #load = emptyColumns(0);
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

  /** Valid until the next `add` or `reserve`. At least as long as `reserve` asked for. */
  get columns(): LoadColumns {
    return this.#load;
  }

  /** Slots below `slots` have a place in `columns`. */
  reserve(slots: number): void {
    if (slots <= this.#load.requests.length) return;
    const grown = emptyColumns(Math.max(slots, 2 * this.#load.requests.length));
    for (const column of ['prefillTokens', 'promptBlocks', 'outputBlocks', 'requests'] as const) grown[column].set(this.#load[column]);
    this.#load = grown;
  }

  /** False when the request id is already active: it is not added a second time, as in Dynamo. `now` in milliseconds. */
  add(request: ActiveRequest, now: number): boolean {
    if (this.#requests.has(request.requestId)) return false;
    const { requestId, slot, sequence, prefillTokens, newBlocks } = request;
    const handle = this.#blocks.acquire(slot.slot, sequence);
    this.#requests.set(requestId, { slot, handle, prefillTokens, newBlocks, startedAt: now, prefilling: true, outputBlocks: 0 });
    this.reserve(slot.slot + 1);
    this.#load.requests[slot.slot]! += 1;
    this.#load.prefillTokens[slot.slot]! += prefillTokens;
    this.#load.promptBlocks[slot.slot] = this.#blocks.count(slot.slot);
    return true;
  }

  slotOf(requestId: string): WorkerSlot | undefined {
    return this.#requests.get(requestId)?.slot;
  }

  /** Whether this request has computed at least one full block that its worker did not have. */
  storesBlocks(requestId: string): boolean {
    const request = this.#requests.get(requestId);
    return request !== undefined && request.newBlocks > 0 && !request.prefilling;
  }

  prefillCompleted(requestId: string): boolean {
    const request = this.#requests.get(requestId);
    if (!request?.prefilling) return false;
    request.prefilling = false;
    this.#load.prefillTokens[request.slot.slot]! -= request.prefillTokens;
    return true;
  }

  addOutputBlocks(requestId: string, blocks: number): boolean {
    const request = this.#requests.get(requestId);
    if (!request || !Number.isSafeInteger(blocks) || blocks < 0) return false;
    request.outputBlocks += blocks;
    this.#load.outputBlocks[request.slot.slot]! += blocks;
    return true;
  }

  free(requestId: string): boolean {
    const request = this.#requests.get(requestId);
    if (!request) return false;
    this.prefillCompleted(requestId);
    this.#requests.delete(requestId);
    const { slot } = request.slot;
    this.#blocks.release(slot, request.handle);
    this.#load.requests[slot]! -= 1;
    this.#load.outputBlocks[slot]! -= request.outputBlocks;
    this.#load.promptBlocks[slot] = this.#blocks.count(slot);
    return true;
  }

  /** Drops the requests of a worker that is gone. */
  removeSlot(slot: number): void {
    if (!this.#load.requests[slot]) return;
    for (const [requestId, request] of this.#requests) if (request.slot.slot === slot) this.free(requestId);
  }

  /** Returns the ids of requests dropped for age. */
  purgeStale(now: number): string[] {
    const stale = [...this.#requests].filter(([, { startedAt }]) => now - startedAt > this.#staleAfterMs).map(([requestId]) => requestId);
    for (const requestId of stale) this.free(requestId);
    this.#purged += stale.length;
    return stale;
  }

  loadOf(slot: number): WorkerLoad {
    const { prefillTokens, promptBlocks, outputBlocks, requests } = this.#load;
    return {
      activePrefillTokens: prefillTokens[slot] ?? 0,
      activeDecodeBlocks: (promptBlocks[slot] ?? 0) + (outputBlocks[slot] ?? 0),
      activeRequests: requests[slot] ?? 0,
    };
  }

  /** For each slot below `slots`: leading blocks of this prompt that running requests use already. Valid until the next call. */
  sharedPrefix(sequence: BigUint64Array, slots: number): Uint32Array {
    if (this.#shared.length !== slots) this.#shared = new Uint32Array(slots);
    this.#blocks.sharedPrefix(sequence, this.#shared);
    return this.#shared;
  }
}

function emptyColumns(slots: number): LoadColumns {
  const column = (): Float64Array => new Float64Array(slots);
  return { prefillTokens: column(), promptBlocks: column(), outputBlocks: column(), requests: column() };
}
