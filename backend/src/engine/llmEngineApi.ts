import type { EngineOutput, KvCacheEvent, PreprocessedRequest } from '../protocol/index.ts';
import type { HostTierStats } from './hostTier.ts';
import type { KvConnector } from './kvConnector.ts';
import type { TokenText } from './stopRule.ts';

export interface LlmEngineOptions {
  /** Folder with one .gguf, or with config.json and safetensors; or a .gguf file. */
  modelDir: string;
  /** Blocks of the KV pool. */
  blocks: number;
  blockTokens: 8 | 16 | 32 | 64;
  /** Sequences in one step. */
  maxNumSeqs: number;
  /** Tokens in one step. */
  maxNumBatchedTokens: number;
  /** Prompt tokens in one step, if less than `maxNumBatchedTokens`. Default 256: cancellation and neighbours wait for at most one step. */
  prefillChunkTokens?: number;
  enablePrefixCaching: boolean;
  /** Threads of a step. 1 unless the worker has cores of its own. */
  threads: number;
  /**
   * How quantised weights (GGUF Q4_1, Q8_0) are multiplied: `int8` with activations rounded to 8 bits, or `float`. Workers that exchange KV must agree; the
   * fingerprint tells them apart. Default: DYNAMO_LABS_ENGINE_MATMUL, else `int8`.
   */
  matmul?: 'int8' | 'float';
  /** Prompt and answer together; default and upper bound: what the model was trained for and the pool can hold. */
  maxModelLen?: number;
  /** A new detokeniser per answer with stop strings, e.g. `() => codec.stream()`. Without it requests with stop strings are refused. */
  textStream?: () => TokenText;
  /** Memory for the KV pool (64-byte aligned, zeroed), e.g. a registered region of the transfer engine. Default: private pages. */
  pool?: (bytes: number) => ArrayBuffer;
  /** Exchanges KV blocks with other workers; brings the pool's memory. Without it requests are served here alone. */
  connector?: KvConnector;
  /** Host memory for what the pool evicts, in blocks or else in bytes. Default 0; needs the prefix cache. */
  hostBlocks?: number;
  hostBytes?: number;
}

export interface EngineStats {
  totalBlocks: number;
  /** Held by requests in the engine. */
  usedBlocks: number;
  /** In the prefix cache, held by a request or not. */
  cachedBlocks: number;
  /** Of `usedBlocks`, those of finished prompts that decode workers may still read. */
  heldBlocks: number;
  running: number;
  /** For a place or blocks, or, `waitingForRemoteKvs` of them, until their blocks are read. */
  waiting: number;
  waitingForRemoteKvs: number;
  /** Of prompts whose first token is out: `promptTokens == cachedTokens + transferredTokens + what was computed for them`. */
  promptTokens: number;
  cachedTokens: number;
  transferredTokens: number;
  /** Of `cachedTokens`, those whose blocks came back from host memory. */
  hostCachedTokens: number;
  /** Absent without a host tier. */
  host?: HostTierStats;
  /** Tokens that went through the model: prompts, answers, and what preemption computed again. */
  computedTokens: number;
  generatedTokens: number;
  steps: number;
  /** Steps that failed since the last one that did not: the engine is broken, not a request, when this grows. */
  failedStepsInARow: number;
  preemptions: number;
  /** -1 before the first event. */
  lastKvEventId: number;
}

/** An inference engine with continuous batching, a paged KV cache and a prefix cache. */
export interface LlmEngine extends AsyncDisposable {
  readonly model: {
    name: string;
    architecture: string;
    parameters: number;
    eosTokenIds: number[];
    vocabSize: number;
    /** Prompt and answer together. */
    contextLength: number;
    blockTokens: number;
    kvBytesPerBlock: number;
    /** Packed weights: bytes, whether they are one copy for all workers of this host, and if not, why. */
    weights?: { bytes: number; shared: boolean; problem?: string };
    /** Equal on workers whose KV blocks are interchangeable. */
    fingerprint: string;
  };
  /** The KV pool; layout in the native door. */
  readonly kvPool: ArrayBuffer;
  /**
   * One item per step, the first with the `prompt` account, the last with `finish_reason`. Refusals and failures are a last item with `error`
   * (codes of EngineError). Aborting the signal, or leaving the loop, ends the work when the step in flight ends; an aborted stream's last item says
   * `cancelled`. Tokens come as drawn, stop tokens and those of a stop string included.
   */
  generate(request: PreprocessedRequest, signal: AbortSignal): AsyncIterable<EngineOutput>;
  /** Every change of the prefix cache, ids from 0 without gaps. Called synchronously: do not block, do not throw. */
  onKvEvent(listener: (event: KvCacheEvent) => void): Disposable;
  /** The cache as synthetic stored events for a router that lost track; their ids count from 0. Consistent with `stats().lastKvEventId` of the same turn. */
  dumpKvEvents(): KvCacheEvent[];
  /** Forgets every cached block and emits `cleared`; resolves with how many there were. */
  clearPrefixCache(): Promise<number>;
  stats(): EngineStats;
  /**
   * The same model in the same memory, with a cache, events and counters of its own and neither connector nor host tier: for a warm-up before the first
   * request, and not beside any. It lives as long as the engine.
   */
  rehearsal?(): Omit<LlmEngine, typeof Symbol.asyncDispose>;
}
