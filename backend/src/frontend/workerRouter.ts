import { spanKinds } from '../observability/index.ts';
import type { EngineOutput, PreprocessedRequest, RoutingDecision, SpanRecord } from '../protocol/index.ts';
import type { RouteRequest } from '../router/index.ts';
import { ConnectFailedError, ConnectionLostError, endpointNames, type Instance, type RequestPlaneClient } from '../runtime/index.ts';
import { ActiveRequest } from './activeRequest.ts';
import type { Dispatch, WorkerPin } from './dispatch.ts';
import type { FrontendMetrics } from './frontendMetrics.ts';
import type { Phase } from './stageGauge.ts';
import { isLostWorker, WorkerLostError } from './workerLostError.ts';
import type { WorkerPool } from './workerPool.ts';

/** What differs between the stages of a request. */
export type RouteChoice = Pick<RouteRequest, 'overrides' | 'trackActiveBlocks' | 'trackPrefillTokens' | 'assumeKvReuse'> & {
  pin?: WorkerPin | undefined;
  /** Not counted: nothing may come of it. */
  tentative?: boolean;
};

/** After a failed connection a worker is passed over for so long, if there are others. */
const avoidMs = 5_000;
const releaseMs = 5_000;

/** Chooses a worker of a pool, sends it a request, and tells the pool's router what becomes of it. */
export class WorkerRouter {
  readonly #requests: RequestPlaneClient;
  readonly #metrics: FrontendMetrics;
  readonly #onSpans: (spans: readonly SpanRecord[]) => void;
  readonly #avoid = new Map<bigint, number>();

  constructor(options: { requests: RequestPlaneClient; metrics: FrontendMetrics; onSpans: (spans: readonly SpanRecord[]) => void }) {
    this.#requests = options.requests;
    this.#metrics = options.metrics;
    this.#onSpans = options.onSpans;
  }

  /** Decides and records, sends nothing. Throws `RouterError`. */
  query(pool: WorkerPool, request: PreprocessedRequest, choice: RouteChoice = {}): RoutingDecision {
    return pool.router.route({ ...this.#routeRequest(pool, request, choice, new Set()), queryOnly: true });
  }

  /**
   * Waits in the queue where there is one and every worker is saturated. Rejects with `RouterError`.
   * The request is load from now on: follow with `send` or `pool.router.free`.
   */
  async route(pool: WorkerPool, { request, lost, signal, priority, span: parent }: Dispatch, choice: RouteChoice = {}): Promise<RoutingDecision> {
    const wanted = { ...this.#routeRequest(pool, request, choice, lost), ...priority };
    const leave = this.#metrics.stages.enter('route', phaseOf(pool, request));
    const span = parent?.child('route', { attributes: { pool: pool.role, mode: pool.router.mode } });
    try {
      const decision = pool.queue === undefined ? pool.router.route(wanted) : await pool.queue.schedule(wanted, signal);
      if (choice.tentative !== true) this.#metrics.decided(decision, pool.role);
      const { worker_id, pod, overlap_blocks } = decision.chosen;
      span?.set({ worker_id, pod, overlap_blocks, candidates: pool.workers.size });
      span?.end();
      return decision;
    } catch (error) {
      span?.end({ error });
      throw error;
    } finally {
      leave();
    }
  }

  /** The worker's outputs. Throws `WorkerLostError` when the worker is gone, any other failure as it is. Every way out frees the request. */
  async *send(
    pool: WorkerPool,
    decision: RoutingDecision,
    payload: PreprocessedRequest,
    { signal, tracker, span: parent }: Dispatch,
  ): AsyncIterableIterator<EngineOutput> {
    const workerId = BigInt(decision.chosen.worker_id);
    const active = new ActiveRequest({ pool, request: payload, worker: decision.chosen, metrics: this.#metrics, begin: tracker.beganAt });
    const span = parent?.child(pool.role, { kind: spanKinds.CLIENT, attributes: { worker_id: decision.chosen.worker_id, pod: decision.chosen.pod } });
    const leave = this.#metrics.stages.enter('dispatch', phaseOf(pool, payload));
    let waiting = true;
    const dispatched = (): void => {
      if (waiting) leave();
      waiting = false;
    };
    const sent = {
      ...payload,
      estimated_prefix_hit_num_blocks: decision.chosen.overlap_blocks,
      ...(span?.recording === true ? { traceparent: span.traceparent } : {}),
    };
    try {
      for await (const output of this.#call(pool, workerId, sent, signal)) {
        dispatched();
        if (output.spans !== undefined) {
          this.#onSpans(output.spans);
          delete output.spans;
        }
        active.add(output);
        yield output;
      }
    } catch (error) {
      span?.end({ error });
      active.end(signal.aborted ? 'cancelled' : 'error', (error as Error).message);
      throw signal.aborted ? error : this.#lost(workerId, pool, error);
    } finally {
      // Also when the consumer leaves the loop: it has enough (a stop string), or its client is gone.
      active.end(signal.aborted ? 'cancelled' : 'ok');
      span?.end();
      dispatched();
    }
  }

  /** Tells a prefill worker that nobody will read the blocks it keeps. Rejects with `RequestPlaneError`. */
  async releaseKvBlocks(worker: Instance, remoteRequestId: string): Promise<void> {
    const endpoint = endpointNames.releaseKvBlocks;
    const address = worker.endpoints[endpoint]?.tcp;
    if (address === undefined) return;
    const payload = { remote_request_id: remoteRequestId };
    const answer = this.#requests.call({ address, endpoint, requestId: `release-${remoteRequestId}`, payload, deadlineMs: releaseMs });
    for await (const _ of answer);
  }

  /**
   * Lets a worker read the beginning of a prompt that is still being computed. Undefined where it cannot. Throws `WorkerLostError` when the worker is gone, any
   * other failure as it is.
   */
  async fetchKvBlocks(pool: WorkerPool, { chosen }: RoutingDecision, payload: PreprocessedRequest, signal: AbortSignal): Promise<EngineOutput | undefined> {
    const workerId = BigInt(chosen.worker_id);
    const endpoint = endpointNames.fetchKvBlocks;
    const address = pool.workers.get(workerId)?.endpoints[endpoint]?.tcp;
    if (address === undefined) return undefined;
    let last: EngineOutput | undefined;
    try {
      for await (const output of this.#requests.call<EngineOutput>({ address, endpoint, requestId: `fetch-${payload.request_id}`, payload, signal }))
        last = output;
    } catch (error) {
      throw signal.aborted ? error : this.#lost(workerId, pool, error);
    }
    return last;
  }

  /** Whether another worker of the pool may do what these could not. */
  hasOthers(pool: WorkerPool, lost: ReadonlySet<bigint>): boolean {
    for (const id of pool.workers.keys()) if (!lost.has(id)) return true;
    return false;
  }

  /** The error as callers are to see it. */
  #lost(workerId: bigint, { role }: WorkerPool, error: unknown): unknown {
    if (!isLostWorker(error)) return error;
    if (error instanceof ConnectFailedError || error instanceof ConnectionLostError) this.#avoid.set(workerId, Date.now() + avoidMs);
    return new WorkerLostError(workerId, role, error);
  }

  #routeRequest(pool: WorkerPool, request: PreprocessedRequest, choice: RouteChoice, lost: ReadonlySet<bigint>): RouteRequest {
    const { pin, tentative: _tentative, ...rest } = choice;
    const allowed = pin === undefined ? this.#reachable(pool, lost) : undefined;
    return {
      requestId: request.request_id,
      model: pool.name,
      tokens: request.token_ids,
      ...rest,
      ...(pin === undefined ? {} : { pin }),
      ...(allowed === undefined ? {} : { allowedWorkers: allowed }),
    };
  }

  /** Undefined when everybody is. Workers that failed lately count only if there are no others. */
  #reachable(pool: WorkerPool, lost: ReadonlySet<bigint>): ReadonlySet<bigint> | undefined {
    if (this.#avoid.size === 0 && lost.size === 0) return undefined;
    const now = Date.now();
    for (const [id, until] of this.#avoid) if (until <= now) this.#avoid.delete(id);
    const present = [...pool.workers.keys()].filter((id) => !lost.has(id));
    const reachable = present.filter((id) => !this.#avoid.has(id));
    const usable = reachable.length > 0 ? reachable : present;
    return usable.length === pool.workers.size ? undefined : new Set(usable);
  }

  #call(pool: WorkerPool, workerId: bigint, payload: PreprocessedRequest, signal: AbortSignal): AsyncIterable<EngineOutput> {
    const address = pool.workers.get(workerId)?.endpoints[endpointNames.generate]?.tcp;
    if (address === undefined) throw new ConnectFailedError('the worker has left discovery', { plane: this.#requests.plane, address: `worker ${workerId}` });
    return this.#requests.call<EngineOutput>({ address, endpoint: endpointNames.generate, requestId: payload.request_id, payload, signal });
  }
}

function phaseOf({ role }: WorkerPool, { prefill_result }: PreprocessedRequest): Phase {
  return role === 'prefill' ? 'prefill' : prefill_result === undefined ? 'aggregated' : 'decode';
}
