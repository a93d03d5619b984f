import type { PreprocessedRequest } from '../protocol/index.ts';
import { ApiError } from './apiError.ts';
import type { ChatRequest, CompletionRequest } from './requestSchema.ts';
import type { ServedModel } from './servedModel.ts';

/** What the two request forms have in common, once their prompt is tokens. */
export interface GenerationRequest {
  preprocessed: PreprocessedRequest;
  /** Stop strings; applied to the text by the frontend. */
  stop: string[];
  logprobs: boolean;
}

interface Shape {
  /** Which field a prompt that does not fit is blamed on. */
  promptField: 'messages' | 'prompt';
  /** Tokens to generate where the request does not say. */
  maxTokens: number | undefined;
  maxTokensField: string;
  /** Alternatives per token to report; undefined for none. */
  logprobs: number | undefined;
}

/** Throws `ApiError` 400 for a text that cannot fit the model however it is tokenised: to find out exactly would take minutes for a very long one. */
export function refuseHopelessPrompt(characters: number, model: ServedModel, promptField: Shape['promptField']): void {
  const limit = model.card.context_length;
  const fewest = Math.ceil(characters / model.codec.longestToken);
  if (fewest < limit) return;
  throw new ApiError(
    400,
    `This model's maximum context length is ${limit} tokens. However, your ${promptField} resulted in at least ${fewest} tokens (${characters} characters). Please reduce the length of the ${promptField}.`,
    { param: promptField, code: 'context_length_exceeded' },
  );
}

/** Builds the worker's request. Throws `ApiError` 400 with both numbers when prompt and answer do not fit the model. */
export function preprocessedRequest(
  body: ChatRequest | CompletionRequest,
  model: ServedModel,
  requestId: string,
  tokens: number[],
  shape: Shape,
): GenerationRequest {
  const limit = model.card.context_length;
  const { promptField, maxTokensField } = shape;
  if (tokens.length === 0) throw new ApiError(400, `Validation: ${promptField} gives no tokens`, { param: promptField, code: 'empty_prompt' });
  if (tokens.length >= limit) {
    throw new ApiError(
      400,
      `This model's maximum context length is ${limit} tokens. However, your ${promptField} resulted in ${tokens.length} tokens. Please reduce the length of the ${promptField}.`,
      { param: promptField, code: 'context_length_exceeded' },
    );
  }
  const room = limit - tokens.length;
  if (shape.maxTokens !== undefined && shape.maxTokens > room) {
    throw new ApiError(
      400,
      `This model's maximum context length is ${limit} tokens. However, you requested ${tokens.length + shape.maxTokens} tokens (${tokens.length} in the ${promptField}, ${shape.maxTokens} in the completion). Please reduce one of them.`,
      { param: maxTokensField, code: 'context_length_exceeded' },
    );
  }
  const maxTokens = shape.maxTokens ?? room;
  const { nvext } = body;
  const ignoreEos = nvext?.ignore_eos ?? body.ignore_eos;
  const defaults = model.card.default_sampling;
  const topP = body.top_p ?? defaults?.top_p;
  const topK = nvext?.top_k ?? body.top_k ?? defaults?.top_k;
  if (body.min_tokens !== undefined && body.min_tokens > maxTokens) {
    throw new ApiError(400, `Validation: min_tokens (${body.min_tokens}) is greater than ${maxTokensField} (${maxTokens})`, { param: 'min_tokens' });
  }
  return {
    stop: body.stop === undefined ? [] : typeof body.stop === 'string' ? [body.stop] : body.stop,
    logprobs: shape.logprobs !== undefined,
    preprocessed: {
      request_id: requestId,
      model: model.name,
      token_ids: tokens,
      stop_conditions: {
        max_tokens: maxTokens,
        ...(body.min_tokens === undefined ? {} : { min_tokens: body.min_tokens }),
        ...(body.stop_token_ids === undefined ? {} : { stop_token_ids: body.stop_token_ids }),
        ...(ignoreEos === undefined ? {} : { ignore_eos: ignoreEos }),
      },
      sampling_options: {
        temperature: nvext?.greed_sampling === true ? 0 : (body.temperature ?? defaults?.temperature ?? 1),
        ...(topP === undefined ? {} : { top_p: topP }),
        ...(topK === undefined ? {} : { top_k: topK }),
        ...(body.seed === undefined ? {} : { seed: body.seed }),
      },
      output_options: shape.logprobs === undefined ? {} : { logprobs: shape.logprobs },
    },
  };
}
