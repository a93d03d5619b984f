import { z } from 'zod';
import type { LlmEngine } from '../engine/index.ts';
import type { Logger } from '../observability/index.ts';
import type { EngineOutput, PreprocessedRequest, PromptAccount } from '../protocol/index.ts';
import { CallerSatisfiedError, HandlerError, type RequestHandler } from '../runtime/index.ts';
import type { WorkerMetrics } from './workerMetrics.ts';

export interface GenerateEndpointOptions {
  engine: LlmEngine;
  metrics: WorkerMetrics;
  logger: Logger;
  logRequests: boolean;
  maxModelLen: number;
  /** A step failed: the engine may be broken. */
  onStepFailed: (message: string) => void;
}

const request = z.object({
  request_id: z.string().min(1),
  model: z.string(),
  // The engine looks at every token; looking twice at a long prompt would hold up the event loop.
  token_ids: z.custom<number[]>((value) => Array.isArray(value) && value.length > 0, 'must be a list of at least one token id'),
  stop_conditions: z.object({
    max_tokens: z.number().int().positive(),
    min_tokens: z.number().int().nonnegative().optional(),
    stop: z.array(z.string()).optional(),
    stop_token_ids: z.array(z.number().int().nonnegative()).optional(),
    ignore_eos: z.boolean().optional(),
  }),
  sampling_options: z.object({
    temperature: z.number().nonnegative(),
    top_p: z.number().optional(),
    top_k: z.number().int().optional(),
    seed: z.number().int().optional(),
  }),
  output_options: z.object({ logprobs: z.number().int().nonnegative().optional() }),
  estimated_prefix_hit_num_blocks: z.number().optional(),
  /** This worker's own canary: neither counted nor logged. */
  health_check: z.boolean().optional(),
});

/** The engine's codes for a request that no worker could serve. */
const callerErrors: ReadonlySet<string> = new Set(['INVALID_REQUEST', 'PROMPT_TOO_LONG']);

/** Serves `generate`: one engine output per message. Logs, for each request, how much of its prompt the cache held. */
export function generateEndpoint(options: GenerateEndpointOptions): RequestHandler {
  const { engine, metrics, logger, maxModelLen, onStepFailed } = options;
  return async function* (payload, { signal, requestId, bytes }) {
    const parsed = request.safeParse(payload);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw new HandlerError('BAD_REQUEST', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`, { refused: true });
    }
    const asked = parsed.data as PreprocessedRequest;
    const own = parsed.data.health_check === true;
    const logRequests = options.logRequests && !own;
    const length = asked.token_ids.length;
    if (length >= maxModelLen) {
      const message = `The decoder prompt (length ${length}) is longer than the maximum model length of ${maxModelLen}.`;
      throw new HandlerError('PROMPT_TOO_LONG', message, { refused: true });
    }
    const measure = own ? undefined : metrics.start();
    let generated = 0;
    let account: PromptAccount | undefined;
    let finish: string = 'cancelled';
    try {
      for await (const output of engine.generate(asked, signal)) {
        generated += output.token_ids.length;
        if (output.prompt !== undefined) {
          account = output.prompt;
          if (logRequests) logPrompt(logger, requestId, output.prompt, engine.model.blockTokens);
        }
        if (output.finish_reason !== undefined) finish = output.finish_reason;
        if (output.error?.code === 'STEP_FAILED') onStepFailed(output.error.message);
        if (output.error !== undefined)
          throw new HandlerError(output.error.code, output.error.message, { refused: generated === 0 && callerErrors.has(output.error.code) });
        yield withoutUndefined(output);
      }
    } catch (error) {
      finish = signal.aborted ? 'cancelled' : 'error';
      const refused = error instanceof HandlerError && error.refused;
      if (refused) logger.info(`request refused: ${error.message}`, { request_id: requestId });
      else if (finish === 'error') logger.error(`request failed: ${(error as Error).message}`, { request_id: requestId });
      throw error;
    } finally {
      // The frontend found a stop string: the answer is complete.
      if (signal.reason instanceof CallerSatisfiedError) finish = 'stop';
      measure?.end(finish, bytes);
      if (logRequests) {
        logger.info(`request finished: ${finish}`, {
          request_id: requestId,
          prompt_tokens: length,
          computed_tokens: account?.computed_tokens,
          output_tokens: generated,
          duration_ms: measure?.elapsedMs(),
        });
      }
    }
  };
}

function logPrompt(logger: Logger, requestId: string, account: PromptAccount, blockTokens: number): void {
  const blocks = Math.floor(account.prompt_tokens / blockTokens);
  const word = account.cached_blocks > 0 ? 'hit' : 'miss';
  logger.info(`Prefix cache ${word}: ${account.cached_blocks}/${blocks} blocks (${account.cached_tokens} tokens)`, {
    request_id: requestId,
    prompt_tokens: account.prompt_tokens,
    computed_tokens: account.computed_tokens,
    prefill_ms: Math.round(account.prefill_us / 10) / 100,
  });
}

function withoutUndefined(output: EngineOutput): EngineOutput {
  return Object.fromEntries(Object.entries(output).filter(([, value]) => value !== undefined)) as unknown as EngineOutput;
}
