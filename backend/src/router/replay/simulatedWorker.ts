import type { KvCacheEventData } from '../../protocol/index.ts';
import { SimulatedCache } from './simulatedCache.ts';
import type { PromptBlocks, TracePrompts } from './tracePrompts.ts';

export interface WorkerShape {
  /** Tokens per KV block. */
  blockSize: number;
  /** KV blocks of the worker. */
  blocks: number;
  maxNumSeqs: number;
  maxNumBatchedTokens: number;
}

export interface SimulatedRequest extends PromptBlocks {
  id: string;
  inputTokens: number;
  outputTokens: number;
}

/** A request whose first or last token came at the end of a step. */
export interface StepOutput {
  id: string;
  /** True for the token that ends the prompt's computation. */
  first: boolean;
  last: boolean;
  cachedTokens: number;
}

interface Sequence {
  request: SimulatedRequest;
  computedTokens: number;
  cachedTokens: number;
  produced: number;
}

/**
 * An engine in simulated time, in the shape of vLLM's scheduler: continuous batching, chunked prefill, prefix cache with
 * eviction of the least recently used leaf. Takes no time itself; a step says how long it would have taken.
 * Blocks for the whole answer are set aside at the start, so nothing is ever preempted.
 */
export class SimulatedWorker {
  readonly cache: SimulatedCache;
  readonly #shape: WorkerShape;
  readonly #waiting: SimulatedRequest[] = [];
  #running: Sequence[] = [];

  constructor(shape: WorkerShape, prompts: TracePrompts, publish: (event: KvCacheEventData) => void) {
    this.#shape = shape;
    this.cache = new SimulatedCache(shape.blocks, prompts, publish);
  }

  get idle(): boolean {
    return this.#running.length === 0 && this.#waiting.length === 0;
  }

  /** False when the request can never fit. */
  add(request: SimulatedRequest): boolean {
    if (this.#blocksOf(request) > this.#shape.blocks) return false;
    this.#waiting.push(request);
    return true;
  }

  /** One forward pass over the batch: its length in milliseconds, and the first and last tokens it produced. */
  step(): { durationMs: number; outputs: StepOutput[] } {
    this.#admit();
    let budget = this.#shape.maxNumBatchedTokens;
    let prefillTokens = 0;
    let decoding = 0;
    const outputs: StepOutput[] = [];
    for (const sequence of this.#running) {
      const { request } = sequence;
      const missing = request.inputTokens - sequence.computedTokens;
      if (missing === 0) {
        decoding++;
        budget--;
        this.#produce(sequence, outputs);
        continue;
      }
      const chunk = Math.min(missing, Math.max(budget, 0));
      if (chunk === 0) continue;
      budget -= chunk;
      prefillTokens += chunk;
      sequence.computedTokens += chunk;
      this.cache.computed(request.id, Math.floor(sequence.computedTokens / this.#shape.blockSize));
      if (chunk === missing) this.#produce(sequence, outputs);
    }
    const durationMs = stepDuration(prefillTokens, decoding, this.cache.usedBlocks / this.#shape.blocks);
    let ended = false;
    for (const { id, last } of outputs) {
      if (!last) continue;
      this.cache.release(id);
      ended = true;
    }
    if (ended) this.#running = this.#running.filter(({ request, produced }) => produced < request.outputTokens);
    return { durationMs, outputs };
  }

  #admit(): void {
    while (this.#waiting.length > 0 && this.#running.length < this.#shape.maxNumSeqs) {
      const request = this.#waiting[0]!;
      const cachedBlocks = this.cache.acquire(request, this.#blocksOf(request));
      if (cachedBlocks === undefined) return;
      this.#waiting.shift();
      // The last token is always computed, for its logits.
      const cachedTokens = Math.min(cachedBlocks * this.#shape.blockSize, request.inputTokens - 1);
      this.#running.push({ request, computedTokens: cachedTokens, cachedTokens, produced: 0 });
    }
  }

  #produce(sequence: Sequence, outputs: StepOutput[]): void {
    sequence.produced++;
    const { request, produced, cachedTokens } = sequence;
    const [first, last] = [produced === 1, produced === request.outputTokens];
    if (first || last) outputs.push({ id: request.id, first, last, cachedTokens });
  }

  #blocksOf({ inputTokens, outputTokens }: SimulatedRequest): number {
    return Math.ceil((inputTokens + outputTokens) / this.#shape.blockSize);
  }
}

/** The default performance model of Dynamo's mocker: a polynomial of the new prompt tokens, and one of the share of KV memory in use. */
function stepDuration(prefillTokens: number, decoding: number, usedShare: number): number {
  const prefill = prefillTokens === 0 ? 0 : 4.209989e-7 * prefillTokens ** 2 + 1.518344e-2 * prefillTokens + 16.50142;
  const decode = decoding === 0 ? 0 : Math.max(-25.74 * usedShare ** 2 + 54.01 * usedShare + 5.74, 1);
  return Math.max(prefill + decode, 1);
}
