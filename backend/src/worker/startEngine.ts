import type { LlmEngine, LlmEngineOptions } from '../engine/index.ts';
import type { Logger } from '../observability/index.ts';
import { float, fromEnv, integer } from '../runtime/commandLine.ts';
import type { WorkerArguments } from './arguments.ts';
import type { NixlConnector } from './kvTransfer/index.ts';
import { kvBlocks } from './modelCard.ts';
import { findServedModel, type ServedModel } from './servedModel.ts';

export interface EngineStart {
  flags: WorkerArguments;
  env: NodeJS.ProcessEnv;
  logger: Logger;
  connector: NixlConnector | undefined;
  createEngine: (options: LlmEngineOptions, signal?: AbortSignal) => Promise<LlmEngine>;
  signal: AbortSignal | undefined;
}

/** Loads the model that the flags name and says in the log what that is. */
export async function startEngine({ flags, env, logger, connector, createEngine, signal }: EngineStart): Promise<{ engine: LlmEngine; served: ServedModel }> {
  const served = findServedModel(flags.model, env);
  for (const flag of flags.withoutEffect) logger.warn(`${flag} has no effect here: this engine computes on CPU threads`);
  for (const flag of flags.deprecated) logger.warn(`${flag} is deprecated, use --disaggregation-mode ${flags.mode}`);
  logger.info(`Loading model ${flags.model}`, { folder: served.dir });
  if (served.standIn) logger.warn(`${flags.model} is served by a stand-in model; every answer says so`);
  const begin = performance.now();
  const engine = await createEngine(
    {
      modelDir: served.dir,
      blocks: kvBlocks(flags),
      blockTokens: flags.blockSize,
      maxNumSeqs: flags.maxNumSeqs,
      maxNumBatchedTokens: flags.maxNumBatchedTokens,
      enablePrefixCaching: flags.enablePrefixCaching,
      threads: Number(env['DYNAMO_LABS_ENGINE_THREADS'] ?? 1),
      ...(flags.maxModelLen === undefined ? {} : { maxModelLen: flags.maxModelLen }),
      ...(connector && { connector }),
      ...hostCacheSize(env),
    },
    signal,
  );
  const { name, parameters, kvBytesPerBlock, weights } = engine.model;
  const { totalBlocks, host } = engine.stats();
  logger.info(`Model loading took ${((performance.now() - begin) / 1000).toFixed(2)} seconds`, { engine: name, parameters });
  if (weights?.problem !== undefined) logger.warn(`Weights in private memory of ${weights.bytes} bytes: ${weights.problem}`);
  logger.info(`KV cache: ${totalBlocks} blocks of ${flags.blockSize} tokens`, {
    bytes: totalBlocks * kvBytesPerBlock,
    prefix_caching: flags.enablePrefixCaching,
  });
  if (host) logger.info(`Host KV cache (G2): ${host.totalBlocks} blocks`, { bytes: host.totalBlocks * kvBytesPerBlock });
  return { engine, served };
}

/** `DYNAMO_LABS_HOST_CACHE_BLOCKS`, else KVBM's `DYN_KVBM_CPU_CACHE_OVERRIDE_NUM_BLOCKS` or `DYN_KVBM_CPU_CACHE_GB`. */
function hostCacheSize(env: NodeJS.ProcessEnv): { hostBlocks?: number; hostBytes?: number } {
  for (const name of ['DYNAMO_LABS_HOST_CACHE_BLOCKS', 'DYN_KVBM_CPU_CACHE_OVERRIDE_NUM_BLOCKS']) {
    const blocks = fromEnv<number | undefined>(env, name, integer(0), undefined);
    if (blocks !== undefined) return { hostBlocks: blocks };
  }
  const gigabytes = fromEnv<number | undefined>(env, 'DYN_KVBM_CPU_CACHE_GB', float(0), undefined);
  return gigabytes === undefined ? {} : { hostBytes: gigabytes * 1e9 };
}
