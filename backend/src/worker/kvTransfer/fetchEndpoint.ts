import type { LlmEngine } from '../../engine/index.ts';
import { HandlerError, type RequestHandler } from '../../runtime/index.ts';
import { parseWorkerRequest } from '../workerRequest.ts';
import type { NixlConnector } from './nixlConnector.ts';

/**
 * Serves `fetch_kv_blocks`: the beginning of a prompt that is still being computed is read into the prefix cache, where the prompt will find it. Answers
 * with what was read. Refuses with NO_ROOM what cannot be read at once.
 */
export function fetchEndpoint(engine: LlmEngine, connector: NixlConnector): RequestHandler {
  return async function* (payload, { signal }) {
    const { request } = parseWorkerRequest(payload);
    if (request.prefill_result?.disaggregated_params.kv_transfer_params.remote_prefill_in_progress !== true)
      throw new HandlerError('BAD_REQUEST', 'prefill_result is not about a prefill in progress', { refused: true });
    const unfit = connector.incompatibility(request);
    if (unfit !== undefined) {
      connector.abandon(request);
      throw new HandlerError('KV_INCOMPATIBLE', unfit, { refused: true });
    }
    for await (const output of engine.generate(request, signal)) {
      if (output.error !== undefined) throw new HandlerError(output.error.code, output.error.message, { refused: output.error.code === 'NO_ROOM' });
      yield { token_ids: [], finish_reason: output.finish_reason, kv_transfer: output.kv_transfer };
    }
  };
}
