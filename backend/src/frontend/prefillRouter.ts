import type { Logger } from '../observability/index.ts';
import type { EngineOutput, MigrationRecord, PrefillResult, RoutingDecision } from '../protocol/index.ts';
import { RouterError } from '../router/index.ts';
import { ApiError } from './apiError.ts';
import { decidePrefillPlace, type ConditionalDisagg } from './conditionalDisagg.ts';
import { DisaggregationError } from './disaggregationError.ts';
import type { Dispatch, Operator } from './dispatch.ts';
import { EarlyTransfer } from './earlyTransfer.ts';
import type { FrontendMetrics } from './frontendMetrics.ts';
import { causeOf, isKvTransferFailure } from './requestCause.ts';
import { WorkerLostError } from './workerLostError.ts';
import type { WorkerPool } from './workerPool.ts';
import type { RouteChoice, WorkerRouter } from './workerRouter.ts';

/**
 * What follows when a remote prefill or its handoff fails. `fallback`: the decode worker computes the prompt (Dynamo 0.7 to 1.3). `error`: the
 * caller is told (1.6); without any prefill worker decode workers still do all. `enforce`: not even then (`--enforce-disagg`).
 */
export type DisaggFailurePolicy = 'fallback' | 'error' | 'enforce';

export interface PrefillRouterOptions {
  workers: WorkerRouter;
  metrics: FrontendMetrics;
  logger: Logger;
  onFailure: DisaggFailurePolicy;
  /** Prefill workers that may be lost under one request (`--migration-limit`); at least one. Default: what the model's card says. */
  migrationLimit?: number | undefined;
  /** Asked for each request: it may be changed at run time. */
  conditional: () => ConditionalDisagg;
}

/** A prompt that was computed, and what of it has gone to the decode worker by then. */
interface Prefilled {
  result: PrefillResult;
  early: EarlyTransfer;
}

/** Where a request would go. */
export interface QueryAnswer {
  decode: RoutingDecision;
  prefill: RoutingDecision | undefined;
}

/** The prefill pool keeps no blocks to decode with. */
const prefillChoice: RouteChoice = { trackActiveBlocks: false };
/** The KV comes from the prefill worker: what a decode worker has cached already, or shares, is no reason to choose it. */
const handoffChoice: RouteChoice = { overrides: { overlap_score_weight: 0 }, trackPrefillTokens: false, assumeKvReuse: false };

/** Dynamo's PrefillRouter: the prompt to a prefill worker where that is right, then the answer by a decode worker that reads the KV blocks there. */
export class PrefillRouter implements Operator {
  readonly #options: PrefillRouterOptions;

  constructor(options: PrefillRouterOptions) {
    this.#options = options;
  }

  /** Where a request would go, were it not kept by conditional disaggregation. Throws as routing does. */
  query({ model, request, pin, prefillPin }: Pick<Dispatch, 'model' | 'request' | 'pin' | 'prefillPin'>): QueryAnswer {
    const { workers } = this.#options;
    const pool = model.prefill;
    if (pool === undefined || pool.workers.size === 0) return { decode: workers.query(model, request, { pin }), prefill: undefined };
    return {
      prefill: workers.query(pool, request, { ...prefillChoice, pin: prefillPin }),
      decode: workers.query(model, request, { ...handoffChoice, pin }),
    };
  }

  async *generate(dispatch: Dispatch): AsyncIterableIterator<EngineOutput> {
    const { model, tracker, pin, prefillPin } = dispatch;
    const { workers, onFailure } = this.#options;
    const pool = model.prefill;
    if (prefillPin !== undefined && pool?.workers.has(prefillPin.workerId) !== true) throw unknownPrefillWorker(prefillPin.workerId);
    if (pool === undefined || pool.workers.size === 0) {
      const why = pool === undefined ? 'no prefill worker is registered' : 'no prefill worker is registered any more';
      if (onFailure === 'enforce') throw new DisaggregationError('NOT_ACTIVATED', { plane: 'router', code: 'NO_PREFILL_WORKERS', message: why });
      tracker.takes('aggregated', `${why}: one worker does all`);
      return yield* this.#decode(dispatch, await workers.route(model, dispatch, { pin }));
    }
    const local = await this.#keptLocal(dispatch, pool);
    if (local !== undefined) return yield* this.#decode(dispatch, local);
    let prefilled: Prefilled;
    try {
      prefilled = await this.#prefill(dispatch, pool);
    } catch (error) {
      this.#fail(dispatch, 'PREFILL_FAILED', error);
      return yield* this.#decode(dispatch, await workers.route(model, dispatch, { pin }));
    }
    yield* this.#handOff(dispatch, prefilled);
  }

  /** The decode worker that computes this prompt itself; undefined when a prefill worker shall. */
  async #keptLocal(dispatch: Dispatch, pool: WorkerPool): Promise<RoutingDecision | undefined> {
    const { model, request, tracker, prefillPin, pin } = dispatch;
    const { workers, metrics } = this.#options;
    const config = this.#options.conditional();
    const situation = { islTokens: request.token_ids.length, decodeCachedTokens: 0, prefillQueueTokens: prefillQueueTokens(pool) };
    if (config.policy === 'always_remote' || prefillPin !== undefined) {
      const decision = decidePrefillPlace({ ...config, policy: 'always_remote' }, situation);
      tracker.conditional(prefillPin === undefined ? decision : { ...decision, reason: 'the request names its prefill worker' });
      metrics.disaggregation.decided(model.name, decision);
      if (decision.remote) return undefined;
      tracker.takes('local_prefill', decision.reason);
      return workers.route(model, dispatch, { pin });
    }
    const candidate = await workers.route(model, dispatch, { pin, tentative: true });
    const { overlap_blocks } = candidate.chosen;
    const decision = decidePrefillPlace(config, { ...situation, decodeCachedTokens: Math.min(overlap_blocks * model.router.blockSize, situation.islTokens) });
    tracker.conditional(decision);
    metrics.disaggregation.decided(model.name, decision);
    if (!decision.remote) {
      metrics.decided(candidate, 'decode');
      tracker.takes('local_prefill', decision.reason);
      return candidate;
    }
    model.router.free(request.request_id);
    return undefined;
  }

  /** Asks one prefill worker, and others while workers are lost: nothing was given yet, so it costs nothing but time. */
  async #prefill(dispatch: Dispatch, pool: WorkerPool): Promise<Prefilled> {
    const { request, model, tracker, prefillPin, signal } = dispatch;
    const { workers, metrics, logger } = this.#options;
    const limit = Math.max(1, this.#options.migrationLimit ?? model.card.migration_limit);
    const lost = new Set(dispatch.lost);
    for (let migrations = 0; ; migrations++) {
      try {
        return await this.#prefillOnce({ ...dispatch, lost }, pool);
      } catch (error) {
        const again = error instanceof WorkerLostError && migrations < limit && prefillPin === undefined && !signal.aborted;
        if (!again) throw error;
        lost.add(error.workerId);
        if (!workers.hasOthers(pool, lost)) throw error;
        const migration: MigrationRecord = { migration_type: 'new_request', from_worker_id: String(error.workerId), replayed_tokens: 0, cause: causeOf(error) };
        tracker.migrates(migration);
        metrics.migrated(model.name, 'new_request');
        logger.warn(`trying another prefill worker: ${error.message}`, { request_id: request.request_id });
      }
    }
  }

  async #prefillOnce(dispatch: Dispatch, pool: WorkerPool): Promise<Prefilled> {
    const { request, tracker, pin, prefillPin } = dispatch;
    const { workers, metrics, logger } = this.#options;
    const decision = await workers.route(pool, dispatch, { ...prefillChoice, pin: prefillPin });
    tracker.prefillStarts(decision);
    const began = performance.now();
    const payload = {
      ...request,
      stop_conditions: { ...request.stop_conditions, max_tokens: 1, min_tokens: 1 },
      kv_transfer_params: { do_remote_decode: true },
    };
    const early = new EarlyTransfer({ dispatch, workers, choice: { ...handoffChoice, pin }, logger });
    let last: EngineOutput | undefined;
    try {
      for await (const output of workers.send(pool, decision, payload, dispatch)) {
        const params = output.disaggregated_params;
        if (params?.kv_transfer_params.remote_prefill_in_progress === true) early.offered(params);
        else last = { ...last, ...output };
      }
      if (last?.disaggregated_params === undefined) {
        const message = `prefill worker ${decision.chosen.worker_id} ended without disaggregated_params`;
        throw new DisaggregationError('NO_DISAGGREGATED_PARAMS', { plane: 'engine', code: 'NO_DISAGGREGATED_PARAMS', message });
      }
    } catch (error) {
      early.abandon();
      throw error;
    }
    tracker.prefillEnds(last);
    metrics.disaggregation.prefilled(pool.name, performance.now() - began);
    return { result: { disaggregated_params: last.disaggregated_params, ...(last.prompt === undefined ? {} : { prompt: last.prompt }) }, early };
  }

  async *#handOff(dispatch: Dispatch, { result, early }: Prefilled): AsyncIterableIterator<EngineOutput> {
    const { model, request, tracker, pin } = dispatch;
    const { workers } = this.#options;
    const overlapped = await early.settle();
    const ahead = early.take();
    const prefilled = ahead === undefined || overlapped === undefined ? result : { ...result, overlapped };
    const handoff = { ...dispatch, request: { ...request, prefill_result: prefilled } };
    const decision = await this.#handoffPlace(handoff, prefilled, ahead);
    tracker.takes('disaggregated', `prompt by worker ${prefilled.disaggregated_params.worker_id}, answer by worker ${decision.chosen.worker_id}`);
    let given = 0;
    try {
      for await (const output of this.#decode(handoff, decision)) {
        given += output.token_ids.length;
        if (output.kv_transfer?.status === 'failed') this.#recomputed(dispatch, output.kv_transfer.error, 'kv_load_failure_policy recompute');
        if (output.prompt !== undefined && output.kv_transfer === undefined) {
          this.#release(dispatch, prefilled);
          this.#recomputed(dispatch, { code: 'NO_CONNECTOR', message: 'the decode worker has no KV connector' }, 'it has no KV connector');
        }
        yield output;
      }
    } catch (error) {
      if (error instanceof WorkerLostError) this.#release(dispatch, prefilled);
      if (given > 0 || error instanceof WorkerLostError || !isKvTransferFailure(error)) throw error;
      this.#fail(dispatch, 'HANDOFF_FAILED', error);
      yield* this.#decode(dispatch, await workers.route(model, dispatch, { pin }));
    }
  }

  /** `ahead`: chosen before, and counted as its load. */
  async #handoffPlace(dispatch: Dispatch, prefilled: PrefillResult, ahead: RoutingDecision | undefined): Promise<RoutingDecision> {
    try {
      // Cancelled during prefill: no decode is started.
      dispatch.signal.throwIfAborted();
      return ahead ?? (await this.#options.workers.route(dispatch.model, dispatch, { ...handoffChoice, pin: dispatch.pin }));
    } catch (error) {
      if (ahead !== undefined) dispatch.model.router.free(dispatch.request.request_id);
      this.#release(dispatch, prefilled);
      throw error;
    }
  }

  /** No decode worker will read these blocks: they need not wait for the end of their lease. */
  #release({ model, request }: Dispatch, { disaggregated_params: { worker_id, kv_transfer_params } }: PrefillResult): void {
    const { remote_request_id } = kv_transfer_params;
    const worker = model.prefill?.workers.get(BigInt(worker_id));
    if (worker === undefined || remote_request_id === undefined) return;
    this.#options.workers.releaseKvBlocks(worker, remote_request_id).catch((error: unknown) => {
      const left = `worker ${worker_id} keeps the KV blocks of ${remote_request_id} until their lease ends`;
      this.#options.logger.warn(`${left}: ${(error as Error).message}`, { request_id: request.request_id });
    });
  }

  async *#decode(dispatch: Dispatch, decision: RoutingDecision): AsyncIterableIterator<EngineOutput> {
    const { model, request, tracker } = dispatch;
    tracker.decodeStarts(decision);
    for await (const output of this.#options.workers.send(model, decision, request, dispatch)) {
      tracker.decodeGives(output);
      yield output;
    }
  }

  /** Returns when the decode worker shall do all. Else throws what the caller is told. */
  #fail({ model, request, tracker, signal }: Dispatch, code: 'PREFILL_FAILED' | 'HANDOFF_FAILED', error: unknown): void {
    if (signal.aborted) throw error;
    const cause = causeOf(error);
    this.#options.metrics.disaggregation.failed(model.name, cause.plane);
    const words = code === 'PREFILL_FAILED' ? 'Remote prefill failed' : 'KV transfer failed';
    if (this.#options.onFailure !== 'fallback') {
      this.#options.logger.error(`${words} (${cause.plane} plane, ${cause.code}): ${cause.message}`, { request_id: request.request_id });
      throw error instanceof DisaggregationError ? error : new DisaggregationError(code, cause, { cause: error });
    }
    this.#options.logger.warn(`${words}, falling back to decode-only (${cause.plane} plane, ${cause.code}): ${cause.message}`, {
      request_id: request.request_id,
    });
    tracker.takes('fallback', `${words.toLowerCase()}: the decode worker computes the prompt`, cause);
  }

  /** The decode worker has fallen back by itself. */
  #recomputed({ model, request, tracker }: Dispatch, error: { code: string; message: string } | undefined, why: string): void {
    const { code = 'KV_TRANSFER_FAILED', message = 'the KV transfer failed' } = error ?? {};
    this.#options.metrics.disaggregation.failed(model.name, 'kv_transfer');
    this.#options.logger.warn(`KV transfer failed, the decode worker computed the prompt (kv_transfer plane, ${code}): ${message}`, {
      request_id: request.request_id,
    });
    tracker.takes('fallback', `the decode worker computed the prompt itself (${why})`, { plane: 'kv_transfer', code, message });
  }
}

function unknownPrefillWorker(workerId: bigint): ApiError {
  const error = new RouterError('PINNED_WORKER_NOT_FOUND', `No prefill worker ${workerId}`);
  return new ApiError(400, error.message, { param: 'nvext.prefill_worker_id', code: 'pinned_worker_not_found', cause: error });
}

/** Prompt tokens that wait for or run on the least busy prefill worker, as this router counts. */
function prefillQueueTokens(pool: WorkerPool): number {
  const least = pool.router.loads().reduce((lowest, { activePrefillTokens }) => Math.min(lowest, activePrefillTokens), Infinity);
  return (Number.isFinite(least) ? least : 0) + (pool.queue?.waitingTokens ?? 0);
}
