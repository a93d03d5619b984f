import type { EngineOutput } from '../protocol/index.ts';
import { RouterError } from '../router/index.ts';
import type { RequestPlaneClient } from '../runtime/index.ts';
import type { Logger, Tracing } from '../observability/index.ts';
import { conditionalDisaggDefaults, type ConditionalDisagg } from './conditionalDisagg.ts';
import type { Dispatch, Operator } from './dispatch.ts';
import { dispatchApiError } from './dispatchApiError.ts';
import type { FrontendMetrics } from './frontendMetrics.ts';
import { Migration } from './migration.ts';
import { PrefillRouter, type DisaggFailurePolicy, type QueryAnswer } from './prefillRouter.ts';
import { causeOf } from './requestCause.ts';
import { RequestTracker } from './requestTracker.ts';
import { WorkerRouter } from './workerRouter.ts';

export interface DispatcherOptions {
  requests: RequestPlaneClient;
  metrics: FrontendMetrics;
  logger: Logger;
  /** Gets the spans that workers hand back. */
  tracing?: Tracing;
  /** DYN_HTTP_OVERLOAD_STATUS_CODE. */
  overloadStatus: number;
  /** Default `error`, as the newest runtime. */
  onDisaggFailure?: DisaggFailurePolicy;
  conditional?: () => ConditionalDisagg;
  migration?: { limit?: number | undefined; maxSeqLen?: number | undefined };
}

/** Without `tracker` nobody sees the request's record. */
export type DispatchRequest = Omit<Dispatch, 'lost' | 'tracker'> & { tracker?: RequestTracker };

/** The chain Migration → PrefillRouter → worker router, and its failures as the API words them. */
export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #prefillRouter: PrefillRouter;
  readonly #chain: Operator;

  constructor(options: DispatcherOptions) {
    const { requests, metrics, logger, tracing, onDisaggFailure = 'error', conditional = alwaysRemote, migration = {} } = options;
    this.#options = options;
    const workers = new WorkerRouter({ requests, metrics, onSpans: (spans) => tracing?.adopt(spans) });
    this.#prefillRouter = new PrefillRouter({
      workers,
      metrics,
      logger: logger.child('dynamo_llm::kv_router::prefill_router'),
      onFailure: onDisaggFailure,
      migrationLimit: migration.limit,
      conditional,
    });
    this.#chain = new Migration({
      next: this.#prefillRouter,
      metrics,
      logger: logger.child('dynamo_llm::migration'),
      limit: migration.limit,
      maxSeqLen: migration.maxSeqLen,
    });
  }

  /** Decides and records, sends nothing. Throws `ApiError`. */
  query(request: Pick<Dispatch, 'model' | 'request' | 'pin' | 'prefillPin'>): QueryAnswer {
    try {
      return this.#prefillRouter.query(request);
    } catch (error) {
      throw this.#apiError(request.model.name, error);
    }
  }

  /** The answer's outputs. Fails with `ApiError`, or with the signal's reason. */
  async *dispatch(dispatch: DispatchRequest): AsyncIterableIterator<EngineOutput> {
    const { model, request, signal } = dispatch;
    const tracker = dispatch.tracker ?? new RequestTracker({ requestId: request.request_id, model: model.name, promptTokens: request.token_ids.length });
    try {
      for await (const output of this.#chain.generate({ ...dispatch, tracker, lost: new Set() })) {
        if (output.finish_reason !== undefined) tracker.ends(output.finish_reason === 'cancelled' ? 'cancelled' : 'ok');
        yield output;
      }
    } catch (error) {
      if (signal.aborted) tracker.ends('cancelled');
      else tracker.ends('error', causeOf(error));
      // Whatever else fails once the client is gone fails because of that.
      throw signal.aborted ? signal.reason : this.#apiError(model.name, error);
    } finally {
      tracker.ends(signal.aborted ? 'cancelled' : 'ok');
      this.#options.metrics.disaggregation.served(model.name, tracker.record.path);
    }
  }

  #apiError(model: string, error: unknown): unknown {
    if (error instanceof RouterError) this.#options.metrics.rejected(model, error.gate);
    return dispatchApiError(error, this.#options.overloadStatus);
  }
}

function alwaysRemote(): ConditionalDisagg {
  return { policy: 'always_remote', ...conditionalDisaggDefaults };
}
