import { Router, type Request, type Response } from 'express';
import type { RequestRecord } from '../protocol/index.ts';
import type { Tracing } from '../observability/index.ts';
import { ApiError } from './apiError.ts';
import { integerQuery } from './integerQuery.ts';
import { streamRecords } from './recordStream.ts';
import type { RequestRecordStore } from './requestRecordStore.ts';

export interface RequestRoutesOptions {
  records: RequestRecordStore;
  tracing: Tracing;
  /** Aborted when the frontend closes: ends the streams. */
  signal: AbortSignal;
}

/** `/requests/*`: which way each request was served, by whom, and why. */
export function requestRoutes({ records, tracing, signal }: RequestRoutesOptions): Router {
  const router = Router();
  router.get('/', (request: Request, response: Response) => {
    response.json(records.list(integerQuery(request, 'limit', 100)));
  });
  router.get('/stream', async (_request: Request, response: Response) => {
    const greeting = 'requests follow, when their way is known and when they have ended';
    await streamRecords<RequestRecord>({
      response,
      signal,
      greeting,
      subscribe: (listener) => records.subscribe(listener),
      idOf: ({ request_id }) => request_id,
    });
  });
  router.get('/:requestId', (request: Request, response: Response) => {
    response.json(recordOf(records, request));
  });
  router.get('/:requestId/trace', (request: Request, response: Response) => {
    const { trace_id, span_id } = recordOf(records, request);
    response.json({ trace_id, spans: trace_id === undefined || span_id === undefined ? [] : tracing.spansUnder(trace_id, span_id) });
  });
  return router;
}

function recordOf(records: RequestRecordStore, request: Request): RequestRecord {
  const id = String(request.params['requestId']);
  const record = records.get(id);
  if (record === undefined) throw new ApiError(404, `No record of request ${id} is kept.`, { param: 'request_id', code: 'request_not_found' });
  return record;
}
