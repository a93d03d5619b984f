import type { LlmEngine, LlmEngineOptions } from '../../backend/src/engine/index.ts';
import type { EngineOutput, KvCacheEvent, KvCacheEventData, PreprocessedRequest } from '../../backend/src/protocol/index.ts';
import { nativeKernels } from '../../backend/src/router/native/nativeKernels.ts';

/**
 * An engine that computes nothing, as Dynamo's mocker at full speed: a prefix cache with its events, and tokens at once.
 * For measuring what stands before engines.
 */
export class MockEngine implements LlmEngine {
  readonly model;
  readonly kvPool = new ArrayBuffer(0);
  readonly #options: LlmEngineOptions;
  readonly #kernels = nativeKernels();
  /** Block hash → what a dump needs to say of it; least recently used first. */
  readonly #cached = new Map<bigint, { parentHash: bigint | undefined; tokensHash: bigint }>();
  readonly #listeners = new Set<(event: KvCacheEvent) => void>();
  #eventId = -1;
  #counts = { promptTokens: 0, cachedTokens: 0, generatedTokens: 0 };

  constructor(options: LlmEngineOptions) {
    this.#options = options;
    this.model = {
      name: 'mock',
      architecture: 'none',
      parameters: 0,
      eosTokenIds: [511],
      vocabSize: 512,
      contextLength: 8192,
      blockTokens: options.blockTokens,
      kvBytesPerBlock: 0,
      fingerprint: 'mock',
    };
  }

  async *generate(request: PreprocessedRequest, signal: AbortSignal): AsyncIterable<EngineOutput> {
    const { token_ids: tokens, stop_conditions: stop } = request;
    const cachedBlocks = this.#compute(tokens);
    const cached = Math.min(cachedBlocks * this.model.blockTokens, tokens.length - 1);
    this.#counts.promptTokens += tokens.length;
    this.#counts.cachedTokens += cached;
    this.#counts.generatedTokens += stop.max_tokens;
    const prompt = {
      prompt_tokens: tokens.length,
      cached_tokens: cached,
      computed_tokens: tokens.length - cached,
      cached_blocks: cachedBlocks,
      queue_us: 0,
      prefill_us: 0,
    };
    for (let i = 1; i <= stop.max_tokens && !signal.aborted; i++) {
      const last = i === stop.max_tokens;
      yield { token_ids: [97 + (i % 26)], ...(i === 1 ? { prompt } : {}), ...(last ? { finish_reason: 'length' } : {}) };
    }
  }

  onKvEvent(listener: (event: KvCacheEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  dumpKvEvents(): KvCacheEvent[] {
    return Array.from(this.#cached, ([blockHash, { parentHash, tokensHash }], eventId) => ({
      eventId,
      dpRank: 0,
      data: { type: 'stored', ...(parentHash === undefined ? {} : { parentHash }), blocks: [{ blockHash, tokensHash }] },
    }));
  }

  async clearPrefixCache(): Promise<number> {
    const blocks = this.#cached.size;
    this.#cached.clear();
    this.#tell({ type: 'cleared' });
    return blocks;
  }

  stats(): ReturnType<LlmEngine['stats']> {
    return {
      ...this.#counts,
      totalBlocks: this.#options.blocks,
      usedBlocks: 0,
      cachedBlocks: this.#cached.size,
      heldBlocks: 0,
      running: 0,
      waiting: 0,
      waitingForRemoteKvs: 0,
      transferredTokens: 0,
      hostCachedTokens: 0,
      computedTokens: this.#counts.promptTokens - this.#counts.cachedTokens + this.#counts.generatedTokens,
      steps: this.#counts.generatedTokens,
      failedStepsInARow: 0,
      preemptions: 0,
      lastKvEventId: this.#eventId,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
  }

  /** Puts the prompt's blocks into the cache; returns how many leading ones were there. */
  #compute(tokens: readonly number[]): number {
    const { local, sequence } = this.#kernels.hashBlocks(tokens, this.model.blockTokens, {});
    let cached = 0;
    while (cached < sequence.length && this.#cached.has(sequence[cached]!)) cached++;
    const blocks = [];
    for (let i = 0; i < sequence.length; i++) {
      const blockHash = sequence[i]!;
      const known = this.#cached.get(blockHash);
      const block = known ?? { parentHash: i === 0 ? undefined : sequence[i - 1]!, tokensHash: local[i]! };
      if (known) this.#cached.delete(blockHash);
      else blocks.push({ blockHash, tokensHash: block.tokensHash });
      this.#cached.set(blockHash, block);
    }
    const first = sequence.length - blocks.length;
    if (blocks.length > 0) this.#tell({ type: 'stored', ...(first > 0 ? { parentHash: sequence[first - 1]! } : {}), blocks });
    const evicted: bigint[] = [];
    for (const hash of this.#cached.keys()) {
      if (this.#cached.size - evicted.length <= this.#options.blocks) break;
      evicted.push(hash);
    }
    for (const hash of evicted) this.#cached.delete(hash);
    if (evicted.length > 0) this.#tell({ type: 'removed', blockHashes: evicted });
    return cached;
  }

  #tell(data: KvCacheEventData): void {
    this.#eventId += 1;
    for (const listener of this.#listeners) listener({ eventId: this.#eventId, dpRank: 0, data });
  }
}
