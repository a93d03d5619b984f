import { RouterError } from '../router/index.ts';
import { DeadlineExceededError, RemoteError, RequestPlaneError, RequestRefusedError } from '../runtime/index.ts';
import { ApiError } from './apiError.ts';
import { DisaggregationError } from './disaggregationError.ts';
import { causeOf } from './requestCause.ts';
import { WorkerLostError } from './workerLostError.ts';

/** The answer for a request that could not be served; what is no known failure is passed on as it is. */
export function dispatchApiError(error: unknown, overloadStatus: number): unknown {
  if (error instanceof WorkerLostError) return dispatchApiError(error.cause, overloadStatus);
  if (error instanceof DisaggregationError) return disaggregationApiError(error, overloadStatus);
  if (error instanceof RouterError) return routerApiError(error, overloadStatus);
  if (!(error instanceof RequestPlaneError)) return error;
  const { plane } = causeOf(error);
  if (error instanceof RequestRefusedError && (error.reason === 'PROMPT_TOO_LONG' || error.reason === 'INVALID_REQUEST' || error.reason === 'BAD_REQUEST')) {
    return new ApiError(400, error.message, { code: error.reason.toLowerCase(), cause: error });
  }
  if (error instanceof RemoteError) return new ApiError(500, error.message, { code: error.remoteCode.toLowerCase(), plane, cause: error });
  if (error instanceof DeadlineExceededError) return new ApiError(504, error.message, { code: 'deadline_exceeded', plane, cause: error });
  return new ApiError(503, error.message, { type: 'service_unavailable', code: error.code.toLowerCase(), plane, cause: error });
}

function disaggregationApiError(error: DisaggregationError, overloadStatus: number): ApiError {
  const { plane } = error.requestCause;
  const inner = error.cause instanceof WorkerLostError ? error.cause.cause : error.cause;
  // A request that no prefill worker could ever serve is still the caller's.
  const known = inner === undefined ? undefined : dispatchApiError(inner, overloadStatus);
  const status = known instanceof ApiError ? known.status : plane === 'engine' ? 500 : 503;
  return new ApiError(status, error.message, {
    ...(status === 503 ? { type: 'service_unavailable' } : {}),
    code: error.requestCause.code.toLowerCase(),
    plane,
    cause: error,
    ...(known instanceof ApiError ? { headers: known.headers } : {}),
  });
}

function routerApiError(error: RouterError, overloadStatus: number): ApiError {
  const code = error.code.toLowerCase();
  if (error.code === 'PINNED_WORKER_NOT_FOUND' || error.code === 'PIN_REQUIRED')
    return new ApiError(400, error.message, { param: 'nvext.backend_instance_id', code, cause: error });
  if (error.code === 'EMPTY_PROMPT' || error.code === 'PROMPT_TOO_LONG') return new ApiError(400, error.message, { param: 'prompt', code, cause: error });
  if (error.code === 'INVALID_ROUTER_CONFIG') return new ApiError(500, error.message, { code, cause: error });
  const status = error.code === 'NO_WORKERS' ? 503 : overloadStatus;
  return new ApiError(status, `${error.message} (gate: ${error.gate})`, {
    type: 'service_unavailable',
    code,
    plane: 'router',
    headers: { 'retry-after': '1' },
    cause: error,
  });
}
