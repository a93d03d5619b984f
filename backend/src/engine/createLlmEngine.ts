import { initBlockHash } from '../protocol/blockHash.ts';
import { checkEngineOptions } from './engineOptions.ts';
import { Engine } from './llmEngine.ts';
import type { LlmEngine, LlmEngineOptions } from './llmEngineApi.ts';
import { ModelRunner } from './modelRunner.ts';

/** Loads the model and starts the engine. Rejects with ModelFileError, a native error with `code` and `field`, EngineError, or the signal's reason. */
export async function createLlmEngine(options: LlmEngineOptions, signal?: AbortSignal): Promise<LlmEngine> {
  checkEngineOptions(options);
  signal?.throwIfAborted();
  await initBlockHash();
  const { connector, blocks, blockTokens } = options;
  const runner = await ModelRunner.load({
    ...options,
    ...(connector && { pool: (_bytes, layout) => connector.registerKvCaches({ ...layout, blocks, blockTokens }) }),
  });
  if (signal?.aborted) {
    await runner.dispose();
    signal.throwIfAborted();
  }
  return new Engine(options, runner);
}
