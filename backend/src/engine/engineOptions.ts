import { EngineError } from './engineError.ts';
import type { LlmEngineOptions } from './llmEngineApi.ts';

/**
 * Decoding neighbours and cancellation wait for the chunk of a step: of the default model about a quarter of a second of CPU, at the end of its context
 * a second (1,000 and 270 tokens per CPU second). Bits do not depend on it.
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
