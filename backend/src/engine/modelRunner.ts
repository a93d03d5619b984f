import { nativeAddon, type NativeMatmul, type NativeModel, type NativeStepResult } from '@dynamo-labs/native';
import type { BlockMoves } from './hostTier.ts';
import { describeModel, modelFingerprint, packedWeightsFile, type ModelDescription } from './modelFiles/index.ts';
import type { ScheduledSlice } from './scheduler.ts';
import type { StopRule } from './stopRule.ts';

export interface ModelRunnerOptions {
  modelDir: string;
  blocks: number;
  blockTokens: number;
  threads: number;
  /** Positions to prepare for; at most the model's context length. */
  maxModelLen?: number;
  /** How quantised weights are multiplied. Default: the environment's DYNAMO_LABS_ENGINE_MATMUL, else `int8`. */
  matmul?: NativeMatmul;
  /** The KV pool's memory, where the caller registers it with others; else the runner makes it. */
  pool?: (bytes: number, layout: { blockBytes: number; fingerprint: string }) => ArrayBuffer;
}

/** Turns scheduled slices into native steps. */
export class ModelRunner {
  readonly description: ModelDescription;
  readonly fingerprint: string;
  readonly maxModelLen: number;
  readonly pool: ArrayBuffer;
  readonly #native: NativeModel;

  private constructor(description: ModelDescription, fingerprint: string, maxModelLen: number, native: NativeModel, pool: ArrayBuffer) {
    this.description = description;
    this.fingerprint = fingerprint;
    this.maxModelLen = maxModelLen;
    this.#native = native;
    this.pool = pool;
  }

  /** Rejects with ModelFileError, or with a native error naming the tensor or field at fault. */
  static async load(options: ModelRunnerOptions): Promise<ModelRunner> {
    const description = describeModel(options.modelDir);
    const maxModelLen = Math.min(options.maxModelLen ?? Infinity, description.contextLength, options.blocks * options.blockTokens);
    const matmul = options.matmul ?? ((process.env['DYNAMO_LABS_ENGINE_MATMUL'] || 'int8') as NativeMatmul); // native code refuses any other word
    const addon = nativeAddon();
    const native = await addon.loadModel({
      spec: { ...description.spec, maxPosition: maxModelLen },
      files: description.files,
      tensors: description.tensors,
      blockTokens: options.blockTokens,
      threads: options.threads,
      matmul,
      weightsFile: packedWeightsFile(description),
    });
    const bytes = options.blocks * native.info.blockBytes;
    const fingerprint = modelFingerprint(description, options.blockTokens, matmul);
    const pool = options.pool?.(bytes, { blockBytes: native.info.blockBytes, fingerprint }) ?? addon.allocatePages(bytes);
    native.attachPool(pool);
    return new ModelRunner(description, fingerprint, maxModelLen, native, pool);
  }

  /** Bytes of the packed weights; whether they are one copy for all workers of this host, and if not, why. */
  get weights(): { bytes: number; shared: boolean; problem?: string } {
    const { weightBytes, weightsShared, weightsProblem } = this.#native.info;
    return { bytes: weightBytes, shared: weightsShared, ...(weightsProblem !== undefined && { problem: weightsProblem }) };
  }

  get blockBytes(): number {
    return this.#native.info.blockBytes;
  }

  /** Copies blocks between the pool and `memory`; the next step finds them copied. */
  copyBlocks(memory: ArrayBuffer, { out, into }: BlockMoves): Promise<void> {
    return this.#native.copyBlocks(memory, out, into);
  }

  /** One step; a slice that completes its sequence also draws the next token. */
  step(slices: { slice: ScheduledSlice; rule: StopRule }[]): Promise<NativeStepResult[]> {
    return this.#native.step(
      slices.map(({ slice: { sequence, count }, rule }) => {
        const start = sequence.computedTokens;
        const { sampling_options: sampling, output_options: output } = sequence.request;
        const draws = start + count === sequence.length;
        return {
          tokens: sequence.slice(start, start + count),
          start,
          blocks: new Int32Array(sequence.blockTable),
          ...(draws && {
            sampling: {
              temperature: sampling.temperature,
              topP: sampling.top_p ?? 1,
              topK: sampling.top_k ?? 0,
              seed: sequence.seed,
              position: sequence.length,
              ...(output.logprobs !== undefined && { logprobs: output.logprobs }),
              ...(rule.bansStopTokens(sequence) && { banned: rule.banned }),
            },
          }),
        };
      }),
    );
  }

  dispose(): Promise<void> {
    return this.#native.dispose();
  }
}
