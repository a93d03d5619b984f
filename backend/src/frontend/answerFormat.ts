import type { z } from 'zod';
import type { FinishReason } from '../protocol/index.ts';
import { chatLogprobs, completionLogprobs } from './logprobFormat.ts';
import { preprocessedRequest, refuseHopelessPrompt, type GenerationRequest } from './preprocessedRequest.ts';
import { chatSchema, completionSchema, type ChatRequest, type CompletionRequest } from './requestSchema.ts';
import type { ServedModel } from './servedModel.ts';
import type { TextDelta, TokenLogprob } from './textGeneration.ts';

/** How one endpoint words its requests and answers. */
export interface AnswerFormat<Body> extends AnswerWords {
  /** Dynamo's name of the endpoint in metrics. */
  endpoint: 'chat_completions' | 'completions';
  schema: z.ZodType<Body>;
  idPrefix: string;
  /** Rejects with ApiError, TextCodecError, or the signal's reason. */
  prepare(body: Body, model: ServedModel, requestId: string, signal: AbortSignal): Promise<GenerationRequest>;
}

/** The answer's half. */
export interface AnswerWords {
  object: { full: string; chunk: string };
  /** The first chunk's choice, before any text. */
  opening: Record<string, unknown> | undefined;
  chunkChoice(delta: TextDelta, logprobs: boolean): Record<string, unknown>;
  fullChoice(text: string, tokens: TokenLogprob[], finish: FinishReason, logprobs: boolean): Record<string, unknown>;
}

export const chatFormat: AnswerFormat<ChatRequest> = {
  endpoint: 'chat_completions',
  schema: chatSchema,
  idPrefix: 'chatcmpl-',
  object: { full: 'chat.completion', chunk: 'chat.completion.chunk' },
  prepare: async (body, model, requestId, signal) => {
    const characters = body.messages.reduce((sum, { content }) => sum + content.length, 0);
    refuseHopelessPrompt(characters, model, 'messages');
    return preprocessedRequest(body, model, requestId, await model.encoder.encode({ messages: body.messages }, signal), {
      promptField: 'messages',
      maxTokens: body.max_completion_tokens ?? body.max_tokens,
      maxTokensField: body.max_completion_tokens === undefined ? 'max_tokens' : 'max_completion_tokens',
      logprobs: body.logprobs === true ? (body.top_logprobs ?? 0) : undefined,
    });
  },
  opening: { index: 0, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null },
  chunkChoice: ({ text, tokens, finishReason }, logprobs) => ({
    index: 0,
    delta: text === '' ? {} : { content: text },
    logprobs: logprobs && tokens.length > 0 ? chatLogprobs(tokens) : null,
    finish_reason: finishReason ?? null,
  }),
  fullChoice: (text, tokens, finish, logprobs) => ({
    index: 0,
    message: { role: 'assistant', content: text, refusal: null },
    logprobs: logprobs ? chatLogprobs(tokens) : null,
    finish_reason: finish,
  }),
};

export const completionFormat: AnswerFormat<CompletionRequest> = {
  endpoint: 'completions',
  schema: completionSchema,
  idPrefix: 'cmpl-',
  object: { full: 'text_completion', chunk: 'text_completion' },
  prepare: async (body, model, requestId, signal) => {
    const { prompt } = body;
    const first = typeof prompt === 'string' ? prompt : prompt[0];
    if (typeof first === 'string') refuseHopelessPrompt(first.length, model, 'prompt');
    const tokens = typeof first === 'string' ? await model.encoder.encode({ text: first }, signal) : (prompt as number[]);
    return preprocessedRequest(body, model, requestId, tokens, {
      promptField: 'prompt',
      // The API's own default.
      maxTokens: body.max_tokens ?? Math.min(16, Math.max(1, model.card.context_length - tokens.length)),
      maxTokensField: 'max_tokens',
      logprobs: body.logprobs,
    });
  },
  opening: undefined,
  chunkChoice: ({ text, tokens, finishReason }, logprobs) => ({
    index: 0,
    text,
    logprobs: logprobs && tokens.length > 0 ? completionLogprobs(tokens) : null,
    finish_reason: finishReason ?? null,
  }),
  fullChoice: (text, tokens, finish, logprobs) => ({ index: 0, text, logprobs: logprobs ? completionLogprobs(tokens) : null, finish_reason: finish }),
};
