import type { LlmEngine } from '../engine/index.ts';
import type { ModelDeploymentCard } from '../protocol/index.ts';
import type { EventPlaneKind } from '../runtime/index.ts';
import type { WorkerArguments } from './arguments.ts';
import { generationDefaults } from './generationDefaults.ts';
import type { ServedModel } from './servedModel.ts';

/** What this worker announces about its model. */
export function modelCard(options: {
  engine: LlmEngine;
  served: ServedModel;
  flags: WorkerArguments;
  maxModelLen: number;
  eventPlane: EventPlaneKind | 'none';
}): ModelDeploymentCard {
  const { engine, served, flags, maxModelLen, eventPlane } = options;
  const { name, architecture, parameters, eosTokenIds, blockTokens, kvBytesPerBlock, fingerprint } = engine.model;
  return {
    display_name: flags.servedModelName,
    model_type: flags.mode === 'prefill' ? 'prefill' : 'chat',
    context_length: maxModelLen,
    kv_cache_block_size: blockTokens,
    total_kv_blocks: engine.stats().totalBlocks,
    max_num_seqs: flags.maxNumSeqs,
    max_num_batched_tokens: flags.maxNumBatchedTokens,
    migration_limit: flags.migrationLimit,
    eos_token_ids: [...eosTokenIds],
    default_sampling: generationDefaults(served.dir),
    tokenizer_path: served.dir,
    engine: { name, architecture, parameters, stand_in: served.standIn, kv_bytes_per_block: kvBytesPerBlock, fingerprint },
    kv_events: eventPlane,
  };
}

/** Tokens of KV cache at the default `--gpu-memory-utilization` of 0.9. */
const defaultCacheTokens = 16_384;

/** KV blocks: `--num-gpu-blocks-override`, else a share of the default by `--gpu-memory-utilization`; never less than one full-length request. */
export function kvBlocks(flags: WorkerArguments): number {
  if (flags.numGpuBlocksOverride !== undefined) return flags.numGpuBlocksOverride;
  const tokens = Math.max(defaultCacheTokens * (flags.gpuMemoryUtilization / 0.9), flags.maxModelLen ?? 0);
  return Math.max(1, Math.ceil(tokens / flags.blockSize));
}
