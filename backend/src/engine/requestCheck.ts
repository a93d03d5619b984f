import type { PreprocessedRequest } from '../protocol/index.ts';
import { EngineError } from './engineError.ts';

export interface RequestLimits {
  vocabSize: number;
  /** Prompt and answer together. */
  maxModelLen: number;
  /** Whether a detokeniser is there to look for stop strings. */
  stopStrings: boolean;
}

/** Throws EngineError for a request that cannot be served, naming the field and both numbers. */
export function checkRequest(request: PreprocessedRequest, limits: RequestLimits): void {
  const invalid = (message: string): never => {
    throw new EngineError('INVALID_REQUEST', message);
  };
  const { token_ids: tokens, stop_conditions: stop, sampling_options: sampling, output_options: output } = request;
  if (tokens.length === 0) invalid('token_ids is empty: the prompt has no tokens');
  if (tokens.length >= limits.maxModelLen) {
    throw new EngineError(
      'PROMPT_TOO_LONG',
      `the prompt has ${tokens.length} tokens, this worker's limit is ${limits.maxModelLen} tokens for prompt and answer together`,
    );
  }
  const bad = tokens.find((token) => !Number.isInteger(token) || token < 0 || token >= limits.vocabSize);
  if (bad !== undefined) invalid(`token_ids holds ${bad}, the vocabulary has ${limits.vocabSize} tokens`);
  if (!Number.isInteger(stop.max_tokens) || stop.max_tokens < 1) invalid(`max_tokens is ${stop.max_tokens}, expected a positive integer`);
  if (stop.min_tokens !== undefined && !(stop.min_tokens >= 0 && stop.min_tokens <= stop.max_tokens)) {
    invalid(`min_tokens is ${stop.min_tokens}, expected 0 to max_tokens (${stop.max_tokens})`);
  }
  if (stop.stop?.length && !limits.stopStrings) invalid('stop strings need a detokeniser, which this engine was made without');
  if (!(sampling.temperature >= 0 && sampling.temperature <= 100)) invalid(`temperature is ${sampling.temperature}, expected 0 to 100`);
  if (sampling.top_p !== undefined && !(sampling.top_p > 0 && sampling.top_p <= 1)) invalid(`top_p is ${sampling.top_p}, expected more than 0 and at most 1`);
  if (sampling.top_k !== undefined && !(Number.isInteger(sampling.top_k) && sampling.top_k >= -1))
    invalid(`top_k is ${sampling.top_k}, expected -1, 0 or a positive integer`);
  if (sampling.seed !== undefined && !Number.isSafeInteger(sampling.seed)) invalid(`seed is ${sampling.seed}, expected an integer`);
  if (output.logprobs !== undefined && !(Number.isInteger(output.logprobs) && output.logprobs >= 0 && output.logprobs <= 20)) {
    invalid(`logprobs is ${output.logprobs}, expected 0 to 20`);
  }
}
