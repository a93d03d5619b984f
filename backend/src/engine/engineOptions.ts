import { EngineError } from './engineError.ts';
import type { LlmEngineOptions } from './llmEngineApi.ts';

/**
 * A prompt's chunk takes a CPU about a second per 300 tokens of the default model: longer steps would make decoding neighbours and cancellation wait.
 * Bits do not depend on it.
 */
const defaultPrefillChunk = 256;

/** Throws EngineError INVALID_OPTION. */
export function checkEngineOptions(options: LlmEngineOptions): void {
  for (const name of ['blocks', 'maxNumSeqs', 'maxNumBatchedTokens', 'threads'] as const) {
    if (!Number.isSafeInteger(options[name]) || options[name] < 1)
      throw new EngineError('INVALID_OPTION', `${name} is ${options[name]}, expected a positive integer`);
  }
}

/** What one step may take. */
export function stepLimits({ maxNumSeqs, maxNumBatchedTokens, prefillChunkTokens }: LlmEngineOptions): { maxNumSeqs: number; maxNumBatchedTokens: number } {
  return { maxNumSeqs, maxNumBatchedTokens: Math.max(maxNumSeqs, Math.min(maxNumBatchedTokens, prefillChunkTokens ?? defaultPrefillChunk)) };
}
