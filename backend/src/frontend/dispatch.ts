import type { EngineOutput, PreprocessedRequest } from '../protocol/index.ts';
import type { TraceSpan } from '../observability/index.ts';
import type { QueuedRequest } from '../router/index.ts';
import type { RequestTracker } from './requestTracker.ts';
import type { ServedModel } from './servedModel.ts';

/** Only this worker (and rank) may do it. */
export interface WorkerPin {
  workerId: bigint;
  dpRank?: number;
}

/** One request on its way through the operators. */
export interface Dispatch {
  model: ServedModel;
  request: PreprocessedRequest;
  signal: AbortSignal;
  /** Of the worker that answers. */
  pin?: WorkerPin;
  prefillPin?: WorkerPin;
  /** In the router's queue. */
  priority?: Pick<QueuedRequest, 'priorityJump' | 'strictPriority'> | undefined;
  /** Workers that were lost under this request: not asked again. */
  lost: ReadonlySet<bigint>;
  tracker: RequestTracker;
  /** Of the whole request. */
  span?: TraceSpan;
}

/**
 * A link of the chain Migration → PrefillRouter → decode router, as in Dynamo. Yields the answer's outputs; every way out of the iteration, the
 * consumer's leaving included, frees what the request holds in routers and workers.
 */
export interface Operator {
  generate(dispatch: Dispatch): AsyncIterableIterator<EngineOutput>;
}
