/**
 * The only door to the C++ addon: every native function and class is declared and documented here, nothing else loads the file.
 * Errors thrown or rejected by native code are `Error`s with a string `code` and, where one thing is at fault, its name in `field`.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { NativeIndexAddon } from './nativeIndex.ts';
import type { NativeTransferAddon } from './nativeTransfer.ts';

export type * from './nativeIndex.ts';
export type * from './nativeTransfer.ts';

export type NativeDType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_1';

/** Shape of a dense Llama/Qwen2/Qwen3 decoder. */
export interface NativeModelSpec {
  vocabSize: number;
  /** Multiple of 32. */
  hiddenSize: number;
  layers: number;
  heads: number;
  kvHeads: number;
  /** Multiple of 16. */
  headDim: number;
  /** Multiple of 32. */
  ffnSize: number;
  rmsEps: number;
  /** q, k and v have a bias (Qwen2). */
  attentionBias: boolean;
  /** RMSNorm on every q and k head (Qwen3). */
  qkNorm: boolean;
  /** The output head is the embedding. */
  tiedEmbedding: boolean;
  /** Positions that the rotation table covers. */
  maxPosition: number;
  /** headDim / 2 radians per position, any RoPE scaling applied. */
  inverseFrequencies: Float64Array;
}

/** A tensor in one of the files, under its Hugging Face name. */
export interface NativeTensor {
  name: string;
  /** Index into `files`. */
  file: number;
  /** Byte offset in the file. */
  offset: number;
  dtype: NativeDType;
  /** 1 for a vector. */
  rows: number;
  cols: number;
  /** Heads whose rows are in llama.cpp's interleaved rotary order (q and k of a llama GGUF); 0 otherwise. */
  interleavedHeads: number;
}

export interface NativeLoadOptions {
  spec: NativeModelSpec;
  files: string[];
  tensors: NativeTensor[];
  /** Tokens per KV block: 8, 16, 32 or 64. */
  blockTokens: number;
  /** Threads of a step, the engine's own one included. */
  threads: number;
  /** Instruction set; all give the same bits. Default `auto`. */
  kernels?: 'auto' | 'avx512' | 'avx2' | 'portable';
  /**
   * A file for the packed weights that all processes of this host map: one copy in memory. Used where it is whole and of this key (at most 64 characters),
   * else written anew; private memory where that is impossible. Default: private memory.
   */
  weightsFile?: { path: string; key: string };
  /** How quantised weights are multiplied. Default `float`, the reference. */
  matmul?: NativeMatmul;
}

/**
 * `float` widens quantised weights to f32. `int8` rounds activations to 8 bits in groups of 32 instead and sums integers: faster, slightly less exact. Each
 * gives the same bits on every instruction set and in every batch, but not the other's: KV computed one way must not be continued the other way.
 */
export type NativeMatmul = 'int8' | 'float';

export interface NativeSampling {
  /** 0 takes the most likely token; the lowest id among equals. */
  temperature: number;
  topP?: number;
  /** 0 keeps all. */
  topK?: number;
  /** With `position` the whole state of the generator. */
  seed: bigint;
  /** Position of the token to be drawn. */
  position: number;
  /** Alternatives to report; 0 reports only the drawn token's. Absent: no log-probabilities. */
  logprobs?: number;
  /** Never drawn. */
  banned?: Int32Array;
}

/** A run of consecutive tokens of one sequence: a prefill chunk, or the last token to decode after. */
export interface NativeSlice {
  tokens: Int32Array;
  /** Position of tokens[0]. The KV of every earlier position must be in the blocks. */
  start: number;
  /** Block table covering positions [0, start + tokens.length). */
  blocks: Int32Array;
  /** Draw a token after the last one. */
  sampling?: NativeSampling;
  /** Return the last token's logits. */
  logits?: boolean;
}

export interface NativeStepResult {
  token?: number;
  /** Natural logarithm in the model's own distribution; 0 unless asked for. */
  logprob?: number;
  /** Most likely first. */
  top?: { token: number; logprob: number }[];
  logits?: Float32Array;
}

/**
 * A loaded model with a thread of its own. A step is a pure function of tokens, block tables and pool bytes, and batch-invariant: a sequence's logits
 * and KV are equal to the bit whatever chunks it was computed in and whatever shared the batch.
 */
export interface NativeModel {
  readonly info: {
    /** Bytes of one KV block, all layers: layer-major; per layer the keys [kvHead][headDim][token], then the values [kvHead][token][headDim], f16. */
    blockBytes: number;
    layerBytes: number;
    keyBytes: number;
    blockTokens: number;
    weightBytes: number;
    /** Whether the weights are one copy for all processes of this host. */
    weightsShared: boolean;
    /** Why not, though a file was named. */
    weightsProblem?: string;
    kernels: string;
    matmul: NativeMatmul;
  };
  /** Uses the buffer (64-byte aligned, zeroed at first) as KV pool and keeps it alive; returns how many blocks it holds. */
  attachPool(pool: ArrayBuffer): number;
  /**
   * Copies whole blocks out of the pool into `other` (same block size), then out of `other` into the pool; both lists are pairs of the pool's block and
   * `other`'s. On the model's thread, in order with steps: a step that is asked for later finds them copied.
   */
  copyBlocks(other: ArrayBuffer, out: Int32Array, into: Int32Array): Promise<void>;
  /**
   * One forward pass over a mixed batch. One at a time: throws `BUSY` while another is in flight, `INVALID_SLICE` for a slice that does not fit.
   * Rejects with `NOT_FINITE` or `CANCELLED`. Runs on the model's thread; the event loop stays free.
   */
  step(slices: NativeSlice[]): Promise<NativeStepResult[]>;
  /** Ends a running step within one layer and frees the weights. Idempotent. */
  dispose(): Promise<void>;
}

export interface NativeAddon extends NativeIndexAddon, NativeTransferAddon {
  /** Maps, checks and packs on a new thread. Rejects with `UNSUPPORTED_SHAPE`, `MISSING_TENSOR`, `TENSOR_SHAPE`, `TRUNCATED`, `NOT_FINITE`, `ENOENT`, … */
  loadModel(options: NativeLoadOptions): Promise<NativeModel>;
  /** Zeroed, page-aligned memory outside V8's heap. Throws `OUT_OF_MEMORY`. */
  allocatePages(bytes: number): ArrayBuffer;
  /** Milliseconds of CPU that the calling thread has used, without what it waited for a core; exact to the call. */
  threadCpuTime(): number;
}

/** The addon could not be loaded. The message lists the likely cause and the command that mends it. */
export class NativeLoadError extends Error {
  readonly code = 'NATIVE_LOAD';
  constructor(file: string, options?: ErrorOptions) {
    const reason = options?.cause instanceof Error ? options.cause.message : String(options?.cause ?? '');
    super(
      [
        `cannot load ${file}${reason && existsSync(file) ? `: ${reason}` : ''}`,
        existsSync(file) ? 'It was built for another system, by another compiler, or only in part.' : 'It has not been built yet.',
        'Fix: node native/build.mjs --clean',
      ].join('\n'),
      options,
    );
    this.name = 'NativeLoadError';
  }
}

const addonFile = path.resolve(import.meta.dirname, '..', 'build', 'dynamo_labs.node');
let loaded: NativeAddon | undefined;

/** Loads the addon at the first call. Throws {@link NativeLoadError}. */
export function nativeAddon(): NativeAddon {
  if (loaded) return loaded;
  try {
    loaded = createRequire(import.meta.url)(addonFile) as NativeAddon;
  } catch (cause) {
    throw new NativeLoadError(addonFile, { cause });
  }
  return loaded;
}
