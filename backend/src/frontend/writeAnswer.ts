import type { Response } from 'express';
import type { FinishReason, RequestRecord } from '../protocol/index.ts';
import type { AnswerWords } from './answerFormat.ts';
import { ApiError } from './apiError.ts';
import { ClientGone } from './clientGone.ts';
import { SseStream } from './sseStream.ts';
import type { GenerationUsage, TextGeneration, TokenLogprob } from './textGeneration.ts';

/** The choices of an answer in one piece. */
export async function wholeAnswer(format: AnswerWords, generation: TextGeneration, logprobs: boolean): Promise<Record<string, unknown>[]> {
  let text = '';
  let finish: FinishReason = 'stop';
  const tokens: TokenLogprob[] = [];
  for await (const delta of generation.deltas()) {
    text += delta.text;
    tokens.push(...delta.tokens);
    finish = delta.finishReason ?? finish;
  }
  return [format.fullChoice(text, tokens, finish, logprobs)];
}

export interface StreamOptions {
  format: AnswerWords;
  head: { id: string; created: number; model: string; system_fingerprint: string };
  generation: TextGeneration;
  logprobs: boolean;
  extra: () => Record<string, unknown> | undefined;
  usage: () => Record<string, unknown>;
  response: Response;
  signal: AbortSignal;
  includeUsage: boolean;
}

/** Headers go out with the first token: until then a failure is still an HTTP error. */
export async function streamAnswer({
  format,
  head,
  generation,
  logprobs,
  extra,
  usage: usageNow,
  response,
  signal,
  includeUsage,
}: StreamOptions): Promise<void> {
  const chunk = { ...head, object: format.object.chunk };
  let sse: SseStream | undefined;
  try {
    for await (const delta of generation.deltas()) {
      if (sse === undefined) {
        sse = new SseStream(response, signal);
        if (format.opening !== undefined) await sse.send({ ...chunk, choices: [format.opening] });
      }
      const usage = includeUsage ? { usage: null } : {};
      const { finishReason, ...piece } = delta;
      if (piece.text !== '' || piece.tokens.length > 0) await sse.send({ ...chunk, choices: [format.chunkChoice(piece, logprobs)], ...usage });
      if (finishReason === undefined) continue;
      await sse.send({ ...chunk, choices: [format.chunkChoice({ text: '', tokens: [], finishReason }, logprobs)], ...usage, ...withNvext(extra()) });
    }
    if (includeUsage) await sse?.send({ ...chunk, choices: [], usage: usageNow() });
    await sse?.done();
  } catch (error) {
    if (sse === undefined || error instanceof ClientGone) throw error;
    const shown = error instanceof ApiError ? error : new ApiError(500, (error as Error).message);
    await sse.send(shown.body);
    sse.end();
    throw error;
  }
}

/** Cached means cached where the prompt was computed. */
export function usageOf({ promptTokens, completionTokens, account }: GenerationUsage, { path, prefill }: RequestRecord): Record<string, unknown> {
  const computed = path === 'disaggregated' ? prefill?.prompt : account;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: computed?.cached_tokens ?? 0 },
  };
}

/** `nvext`, where there is any. */
export function withNvext(nvext: Record<string, unknown> | undefined): { nvext?: Record<string, unknown> } {
  return nvext === undefined ? {} : { nvext };
}
