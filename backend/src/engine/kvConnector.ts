import type { DisaggregatedParams, KvTransferAccount, PreprocessedRequest } from '../protocol/index.ts';

/** The KV pool as the model lays it out. */
export interface KvCacheShape {
  blocks: number;
  blockBytes: number;
  /** Tokens per block. */
  blockTokens: number;
  /** Equal on workers whose KV blocks are interchangeable. */
  fingerprint: string;
}

/** Leading blocks of a prompt: neither written nor given to anybody else until `release`. */
export interface HeldPrompt {
  /** Pool block numbers in prompt order; the last one may be partly filled. */
  blocks: readonly number[];
  /** Tokens whose KV they hold. */
  tokens: number;
  /** Idempotent. */
  release: () => void;
}

/** One prompt's missing KV. */
export interface KvLoad {
  request: PreprocessedRequest;
  /** Blocks of the prompt that are here already; the next one is the first to be read. */
  cachedBlocks: number;
  /** Own blocks to write into, for the prompt's blocks `cachedBlocks`…; may be empty. */
  blocks: readonly number[];
  /** Tokens whose KV these blocks will hold. */
  tokens: number;
  /** Microseconds for which the request waited for these blocks. */
  waitUs: number;
  /** The prompt is still being computed: nobody waits for these blocks, and a failure costs nothing. */
  early: boolean;
}

export interface KvLoadResult {
  /** `recompute`: as if there had been nothing to load. `failed`: the request ends with `error`. */
  outcome: 'loaded' | 'recompute' | 'failed';
  account: KvTransferAccount;
  error?: { code: string; message: string };
}

/** How an engine exchanges KV blocks with others: the part of vLLM's KVConnector that it calls. Implemented over the transfer engine by the worker. */
export interface KvConnector {
  /** Memory for the pool (64-byte aligned, zeroed). Called once, before anything else. */
  registerKvCaches(shape: KvCacheShape): ArrayBuffer;
  /** How many leading tokens of this prompt others have computed, undefined where none was asked. At most its length less one is used. */
  remoteTokens(request: PreprocessedRequest): number | undefined;
  /**
   * Fills blocks. Never rejects. After abort it settles as soon as nothing is written to the blocks any more, and only then are they given to others.
   */
  load(load: KvLoad, signal: AbortSignal): Promise<KvLoadResult>;
  /** A request with remote tokens waits for room; `load` or `abandon` follows. */
  queued(request: PreprocessedRequest): void;
  /** A request ends before its load was begun: what others keep for it is not needed. */
  abandon(request: PreprocessedRequest): void;
  /** A prompt with `do_remote_decode` was computed. Returns what the decode worker must be told; throws where it cannot be offered. */
  requestFinished(request: PreprocessedRequest, held: HeldPrompt): DisaggregatedParams;
  /** Whether `offerEarly` is wanted now for a prompt with `do_remote_decode` of which a chunk was computed. */
  wantsEarly(request: PreprocessedRequest): boolean;
  /** The full blocks of such a prompt so far. Returns what the decode worker must be told; throws where they cannot be offered. */
  offerEarly(request: PreprocessedRequest, held: HeldPrompt): DisaggregatedParams;
  /** Called before blocks get new content. */
  blocksReused(blocks: readonly number[]): void;
}
