import type { EngineOutput, PreprocessedRequest, PromptAccount, RoutingDecision } from '../protocol/index.ts';
import { RouterError, type RouteRequest } from '../router/index.ts';
import {
  ConnectFailedError,
  ConnectionLostError,
  DeadlineExceededError,
  endpointNames,
  RemoteError,
  RequestRefusedError,
  type RequestPlaneClient,
} from '../runtime/index.ts';
import type { Logger } from '../observability/index.ts';
import { ApiError } from './apiError.ts';
import type { FrontendMetrics } from './frontendMetrics.ts';
import type { ServedModel } from './servedModel.ts';

export interface DispatcherOptions {
  requests: RequestPlaneClient;
  metrics: FrontendMetrics;
  logger: Logger;
  /** DYN_HTTP_OVERLOAD_STATUS_CODE. */
  overloadStatus: number;
}

export interface DispatchRequest {
  model: ServedModel;
  request: PreprocessedRequest;
  signal: AbortSignal;
  pin?: { workerId: bigint; dpRank?: number };
  /** Called with each decision; a second one means that the first worker was lost before its first token. */
  onDecision?: (decision: RoutingDecision) => void;
}

/** After a failed connection a worker is passed over for so long, if there are others. */
const avoidMs = 5_000;

/** Chooses a worker, sends the request there, and goes to another one, once, when the worker was lost before its first token. */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #avoid = new Map<bigint, number>();

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** Decides and records, sends nothing. */
  query({ model, request, pin }: Pick<DispatchRequest, 'model' | 'request' | 'pin'>): RoutingDecision {
    return this.#reported(model, () =>
      model.router.route({ ...this.#routeRequest({ model, request, ...(pin === undefined ? {} : { pin }) }, new Set()), queryOnly: true }),
    );
  }

  /** The worker's outputs. The router learns of first token, growth and end; every way out of the loop frees the request. */
  async *dispatch(dispatch: DispatchRequest): AsyncIterableIterator<EngineOutput> {
    const { model, request, signal, onDecision } = dispatch;
    const { metrics, logger } = this.#options;
    const lost = new Set<bigint>();
    for (;;) {
      const decision = await this.#route(dispatch, lost);
      metrics.decided(decision);
      onDecision?.(decision);
      const workerId = BigInt(decision.chosen.worker_id);
      const record = new RequestRecord(model, request);
      try {
        for await (const output of this.#send(model, workerId, { ...request, estimated_prefix_hit_num_blocks: decision.chosen.overlap_blocks }, signal)) {
          record.add(output, metrics);
          if (output.finish_reason !== undefined) record.end(output.finish_reason === 'cancelled' ? 'cancelled' : 'ok');
          yield output;
        }
        return;
      } catch (error) {
        record.end(signal.aborted ? 'cancelled' : 'error', (error as Error).message);
        if (signal.aborted) throw error;
        if (error instanceof ConnectFailedError || error instanceof ConnectionLostError) this.#avoid.set(workerId, Date.now() + avoidMs);
        const again = record.outputTokens === 0 && lost.size === 0 && isLostWorker(error) && dispatch.pin === undefined && model.workers.size > 1;
        if (!again) throw asApiError(error);
        lost.add(workerId);
        metrics.retried(model.name);
        logger.warn(`trying another worker: ${(error as Error).message}`, { request_id: request.request_id });
      } finally {
        // Also when the consumer leaves the loop: it has enough (a stop string), or its client is gone.
        record.end(signal.aborted ? 'cancelled' : 'ok');
      }
    }
  }

  /** Waits in the queue where there is one and every worker is saturated. */
  async #route(dispatch: DispatchRequest, lost: ReadonlySet<bigint>): Promise<RoutingDecision> {
    const { model, signal } = dispatch;
    const request = this.#routeRequest(dispatch, lost);
    if (model.queue === undefined) return this.#reported(model, () => model.router.route(request));
    return model.queue.schedule(request, signal).catch((error: unknown) =>
      this.#reported(model, () => {
        throw error;
      }),
    );
  }

  #reported(model: ServedModel, decide: () => RoutingDecision): RoutingDecision {
    try {
      return decide();
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      const { metrics, overloadStatus } = this.#options;
      metrics.rejected(model.name, error.gate);
      throw routerApiError(error, overloadStatus);
    }
  }

  #routeRequest({ model, request, pin }: Pick<DispatchRequest, 'model' | 'request' | 'pin'>, lost: ReadonlySet<bigint>): RouteRequest {
    const allowed = pin === undefined ? this.#reachable(model, lost) : undefined;
    return {
      requestId: request.request_id,
      model: model.name,
      tokens: request.token_ids,
      ...(pin === undefined ? {} : { pin }),
      ...(allowed === undefined ? {} : { allowedWorkers: allowed }),
    };
  }

  /** Undefined when everybody is. Workers that failed lately count only if there are no others. */
  #reachable(model: ServedModel, lost: ReadonlySet<bigint>): ReadonlySet<bigint> | undefined {
    const now = Date.now();
    for (const [id, until] of this.#avoid) if (until <= now) this.#avoid.delete(id);
    const present = [...model.workers.keys()].filter((id) => !lost.has(id));
    const reachable = present.filter((id) => !this.#avoid.has(id));
    const usable = reachable.length > 0 ? reachable : present;
    return usable.length === model.workers.size ? undefined : new Set(usable);
  }

  #send(model: ServedModel, workerId: bigint, payload: PreprocessedRequest, signal: AbortSignal): AsyncIterable<EngineOutput> {
    const address = model.workers.get(workerId)?.endpoints[endpointNames.generate]?.tcp;
    if (address === undefined)
      throw new ConnectFailedError('the worker has left discovery', { plane: this.#options.requests.plane, address: `worker ${workerId}` });
    return this.#options.requests.call<EngineOutput>({ address, endpoint: endpointNames.generate, requestId: payload.request_id, payload, signal });
  }
}

/** What one request did at one worker, told to the router once. */
class RequestRecord {
  readonly #model: ServedModel;
  readonly #request: PreprocessedRequest;
  readonly #begin = performance.now();
  #account: PromptAccount | undefined;
  #ttftMs = 0;
  #lastAt = 0;
  #ended = false;
  outputTokens = 0;

  constructor(model: ServedModel, request: PreprocessedRequest) {
    this.#model = model;
    this.#request = request;
  }

  add(output: EngineOutput, metrics: FrontendMetrics): void {
    const now = performance.now();
    const { router, name, card } = this.#model;
    if (output.prompt !== undefined) this.#account = output.prompt;
    if (output.token_ids.length === 0) return;
    if (this.outputTokens === 0) {
      this.#ttftMs = now - this.#begin;
      router.prefillCompleted(this.#request.request_id);
      metrics.firstToken(name, this.#ttftMs, this.#account?.cached_tokens ?? 0);
    } else metrics.nextTokens(name, output.token_ids.length, now - this.#lastAt);
    this.#lastAt = now;
    const size = card.kv_cache_block_size;
    const length = this.#request.token_ids.length + this.outputTokens;
    const grown = Math.floor((length + output.token_ids.length) / size) - Math.floor(length / size);
    if (grown > 0) router.outputBlocks(this.#request.request_id, grown);
    this.outputTokens += output.token_ids.length;
  }

  end(status: 'ok' | 'error' | 'cancelled', error?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#model.router.free(this.#request.request_id, {
      status,
      prompt_tokens: this.#request.token_ids.length,
      cached_tokens: this.#account?.cached_tokens ?? 0,
      computed_tokens: this.#account?.computed_tokens ?? 0,
      output_tokens: this.outputTokens,
      ttft_ms: Math.round(this.#ttftMs * 1000) / 1000,
      duration_ms: Math.round((performance.now() - this.#begin) * 1000) / 1000,
      ...(error === undefined ? {} : { error }),
    });
  }
}

/** The worker is gone or going: another one may do. */
function isLostWorker(error: unknown): boolean {
  if (error instanceof ConnectFailedError || error instanceof ConnectionLostError) return true;
  if (error instanceof DeadlineExceededError) return error.phase === 'accept';
  return error instanceof RequestRefusedError && (error.reason === 'DRAINING' || error.reason === 'UNKNOWN_ENDPOINT');
}

function asApiError(error: unknown): unknown {
  if (error instanceof RequestRefusedError && (error.reason === 'PROMPT_TOO_LONG' || error.reason === 'INVALID_REQUEST' || error.reason === 'BAD_REQUEST')) {
    return new ApiError(400, error.message, { code: error.reason.toLowerCase(), cause: error });
  }
  if (error instanceof RemoteError) return new ApiError(500, error.message, { code: error.remoteCode.toLowerCase(), cause: error });
  if (error instanceof DeadlineExceededError) return new ApiError(504, error.message, { code: 'deadline_exceeded', cause: error });
  if (error instanceof Error && 'plane' in error && 'code' in error) {
    return new ApiError(503, error.message, { type: 'service_unavailable', code: String(error.code).toLowerCase(), cause: error });
  }
  return error;
}

function routerApiError(error: RouterError, overloadStatus: number): ApiError {
  const code = error.code.toLowerCase();
  if (error.code === 'PINNED_WORKER_NOT_FOUND' || error.code === 'PIN_REQUIRED')
    return new ApiError(400, error.message, { param: 'nvext.backend_instance_id', code });
  if (error.code === 'EMPTY_PROMPT' || error.code === 'PROMPT_TOO_LONG') return new ApiError(400, error.message, { param: 'prompt', code });
  if (error.code === 'INVALID_ROUTER_CONFIG') return new ApiError(500, error.message, { code });
  const status = error.code === 'NO_WORKERS' ? 503 : overloadStatus;
  return new ApiError(status, `${error.message} (gate: ${error.gate})`, { type: 'service_unavailable', code, headers: { 'retry-after': '1' } });
}
