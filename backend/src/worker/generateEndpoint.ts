import type { LlmEngine } from '../engine/index.ts';
import type { Logger } from '../observability/index.ts';
import type { EngineOutput, KvTransferAccount, PromptAccount } from '../protocol/index.ts';
import { CallerSatisfiedError, HandlerError, type RequestHandler } from '../runtime/index.ts';
import type { NixlConnector } from './kvTransfer/index.ts';
import type { WorkerMetrics } from './workerMetrics.ts';
import { parseWorkerRequest } from './workerRequest.ts';

export interface GenerateEndpointOptions {
  engine: Pick<LlmEngine, 'generate' | 'model'>;
  /** Absent where this worker exchanges no KV blocks. */
  connector?: NixlConnector | undefined;
  metrics: WorkerMetrics;
  logger: Logger;
  logRequests: boolean;
  maxModelLen: number;
  /** A step failed: the engine may be broken. */
  onStepFailed: (message: string) => void;
}

/** The engine's codes for a request that no worker could serve. */
const callerErrors: ReadonlySet<string> = new Set(['INVALID_REQUEST', 'PROMPT_TOO_LONG']);

/** Serves `generate`: one engine output per message. Logs, for each request, how much of its prompt the cache held. */
export function generateEndpoint(options: GenerateEndpointOptions): RequestHandler {
  const { engine, connector, metrics, logger, maxModelLen, onStepFailed } = options;
  return async function* (payload, { signal, requestId, bytes }) {
    const { request: asked, own } = parseWorkerRequest(payload);
    const logRequests = options.logRequests && !own;
    const length = asked.token_ids.length;
    if (length >= maxModelLen) {
      connector?.abandon(asked);
      const message = `The decoder prompt (length ${length}) is longer than the maximum model length of ${maxModelLen}.`;
      throw new HandlerError('PROMPT_TOO_LONG', message, { refused: true });
    }
    const unfit = connector?.incompatibility(asked);
    if (unfit !== undefined) {
      connector?.abandon(asked);
      logger.error(`KV transfer refused before anything was read: ${unfit}`, { request_id: requestId });
      throw new HandlerError('KV_INCOMPATIBLE', unfit, { refused: true });
    }
    if (connector === undefined && (asked.prefill_result ?? asked.kv_transfer_params))
      logger.warn('Got kv_transfer_params, but no KVConnector found. Disabling KVTransfer for this request.', { request_id: requestId });
    const measure = own ? undefined : metrics.start();
    let generated = 0;
    let account: PromptAccount | undefined;
    /** Blocks that wait here for a decode worker. */
    let offered: string | undefined;
    let finish: string = 'cancelled';
    try {
      for await (const output of engine.generate(asked, signal)) {
        generated += output.token_ids.length;
        if (output.prompt !== undefined) {
          account = output.prompt;
          if (logRequests) logPrompt(logger, requestId, output.prompt, engine.model.blockTokens);
        }
        if (output.kv_transfer !== undefined && logRequests) logTransfer(logger, requestId, output.kv_transfer);
        offered = output.disaggregated_params?.kv_transfer_params.remote_request_id;
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
      // The frontend found a stop string, or has what it needs of a prefill worker: the answer is complete.
      if (signal.reason instanceof CallerSatisfiedError) finish = 'stop';
      else if (signal.aborted && offered !== undefined) connector?.cancel(offered);
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

function logTransfer(logger: Logger, requestId: string, { status, transport, blocks, bytes, tokens, transfer_us: us }: KvTransferAccount): void {
  if (status !== 'ok') return; // logged where it failed
  logger.info(`KV transfer: ${blocks} blocks (${tokens} tokens) read over ${transport}`, {
    request_id: requestId,
    bytes,
    transfer_ms: Math.round(us / 10) / 100,
  });
}

function withoutUndefined(output: EngineOutput): EngineOutput {
  return Object.fromEntries(Object.entries(output).filter(([, value]) => value !== undefined)) as unknown as EngineOutput;
}
