import type { RequestCause } from '../protocol/index.ts';
import { RouterError } from '../router/index.ts';
import { RemoteError, RequestPlaneError, RequestRefusedError } from '../runtime/index.ts';
import { DisaggregationError } from './disaggregationError.ts';
import { WorkerLostError } from './workerLostError.ts';

/** The plane on which a failure was seen, and its code there: from the error itself, never from its text. */
export function causeOf(error: unknown): RequestCause {
  if (error instanceof DisaggregationError) return error.requestCause;
  if (error instanceof WorkerLostError) return causeOf(error.cause);
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof RouterError) return { plane: 'router', code: error.code, message };
  if (error instanceof RemoteError) return workerCause(ofHandler(error.remoteCode), error.remoteCode, error);
  if (error instanceof RequestRefusedError) {
    const plane = error.reason.startsWith('KV_') ? 'kv_transfer' : refusedByEngine.has(error.reason) ? 'engine' : 'request';
    return workerCause(plane, error.reason, error);
  }
  if (error instanceof RequestPlaneError) return { plane: 'request', code: error.code, message };
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  // What the route made of an error that has one of the above in it.
  if (cause instanceof RequestPlaneError || cause instanceof RouterError || cause instanceof DisaggregationError || cause instanceof WorkerLostError)
    return causeOf(cause);
  return { plane: 'engine', code: typeof code === 'string' ? code : 'INTERNAL', message };
}

/** What a worker said came over the request plane, which had no part in it: its name would mislead. */
function workerCause(plane: RequestCause['plane'], code: string, { message, plane: carrier, address }: RequestPlaneError): RequestCause {
  const carried = `request plane (${carrier}) ${address}: `;
  const own = plane !== 'request' && message.startsWith(carried);
  return { plane, code, message: own ? `worker ${address}: ${message.slice(carried.length)}` : message };
}

/** What failed was reading KV blocks: the prompt itself can still be computed elsewhere. */
export function isKvTransferFailure(error: unknown): boolean {
  return causeOf(error).plane === 'kv_transfer';
}

const refusedByEngine: ReadonlySet<string> = new Set(['PROMPT_TOO_LONG', 'INVALID_REQUEST', 'BAD_REQUEST']);

function ofHandler(code: string): RequestCause['plane'] {
  if (code.startsWith('KV_')) return 'kv_transfer';
  return code === 'CANCELLED' || code === 'DEADLINE_EXCEEDED' || code === 'MESSAGE_TOO_LARGE' ? 'request' : 'engine';
}
