import { randomUUID } from 'node:crypto';
import type { Request, Response } from 'express';
import { spanKinds, type Logger, type TraceSpan, type Tracing } from '../observability/index.ts';
import { TextCodecError } from '../preprocess/index.ts';
import type { AnswerFormat } from './answerFormat.ts';
import { ApiError } from './apiError.ts';
import { ClientGone } from './clientGone.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { ErrorType, FrontendMetrics } from './frontendMetrics.ts';
import type { ModelManager } from './modelManager.ts';
import { nvextAnswer, pinOf, prefillPinOf, priorityOf, wantsQueryOnly, workerIds } from './nvext.ts';
import type { RequestRecordStore } from './requestRecordStore.ts';
import { readRequest, type ChatRequest, type CompletionRequest } from './requestSchema.ts';
import { standInLabel, type ServedModel } from './servedModel.ts';
import { TextGeneration } from './textGeneration.ts';
import { streamAnswer, usageOf, wholeAnswer, withNvext } from './writeAnswer.ts';

export interface CompletionRouteOptions {
  models: ModelManager;
  dispatcher: Dispatcher;
  records: RequestRecordStore;
  tracing: Tracing;
  metrics: FrontendMetrics;
  logger: Logger;
  /** Request ids being answered now. */
  inFlight: Set<string>;
}

/** The handler of one completion endpoint: checks, tokenises, dispatches, and words the answer, streamed or whole. */
export function completionRoute<Body extends ChatRequest | CompletionRequest>(options: CompletionRouteOptions, format: AnswerFormat<Body>) {
  const { metrics, tracing, inFlight } = options;
  return async (request: Request, response: Response): Promise<void> => {
    const requestId = requestIdOf(request, inFlight);
    response.setHeader('x-request-id', requestId);
    const body = readRequest(format.schema, request.body);
    const model = findModel(options, body.model, requestId);
    const kind = body.stream === true ? 'stream' : 'unary';
    const begin = performance.now();
    const span = tracing.start('http-request', {
      traceparent: request.header('traceparent'),
      kind: spanKinds.SERVER,
      attributes: { 'http.request.method': request.method, 'http.route': request.path, request_id: requestId, model: model.name, request_type: kind },
      startedAt: begin,
    });
    response.setHeader('traceparent', span.traceparent);
    metrics.started(model.name);
    inFlight.add(requestId);
    let errorType: ErrorType = '';
    try {
      await answer(options, format, { body, model, requestId, request, response, begin, span });
      span.end();
    } catch (error) {
      errorType = errorTypeOf(error);
      span.end({ error });
      // Nobody is left to be told.
      if (!(error instanceof ClientGone)) throw error;
    } finally {
      inFlight.delete(requestId);
      metrics.finished(model.name, performance.now() - begin);
      metrics.answered(model.name, format.endpoint, kind, errorType);
    }
  };
}

interface Exchange<Body> {
  body: Body;
  model: ServedModel;
  requestId: string;
  request: Request;
  response: Response;
  /** `performance.now()` of the arrival. */
  begin: number;
  span: TraceSpan;
}

async function answer<Body extends ChatRequest | CompletionRequest>(
  { dispatcher, records, metrics, logger }: CompletionRouteOptions,
  format: AnswerFormat<Body>,
  { body, model, requestId, request, response, begin, span }: Exchange<Body>,
): Promise<void> {
  const abort = new AbortController();
  response.on('close', () => {
    if (response.writableFinished) return;
    metrics.disconnected(model.name);
    logger.info('client disconnected, cancelling', { request_id: requestId });
    abort.abort(new ClientGone());
  });
  const { preprocessed, stop, logprobs } = await prepare(format, { body, model, requestId, span }, abort.signal, metrics);
  metrics.prompt(model.name, preprocessed.token_ids.length);
  const pin = pinOf(request.headers, body.nvext);
  const prefillPin = prefillPinOf(request.headers, body.nvext);
  const pins = { ...(pin === undefined ? {} : { pin }), ...(prefillPin === undefined ? {} : { prefillPin }) };
  const head = {
    id: `${format.idPrefix}${requestId}`,
    created: Math.floor(Date.now() / 1000),
    model: model.name,
    system_fingerprint: standInLabel(model) ?? `dynamo-labs:${model.card.engine.name}`,
  };
  if (wantsQueryOnly(body.nvext)) {
    const { decode, prefill = decode } = dispatcher.query({ model, request: preprocessed, ...pins });
    const nvext = { worker_id: workerIds({ prefill: prefill.chosen, decode: decode.chosen }), token_ids: preprocessed.token_ids };
    response.json({
      ...head,
      object: format.object.full,
      choices: [],
      usage: { prompt_tokens: preprocessed.token_ids.length, completion_tokens: 0, total_tokens: preprocessed.token_ids.length },
      nvext,
    });
    return;
  }
  const tracker = records.begin({ requestId, model: model.name, promptTokens: preprocessed.token_ids.length, beganAt: begin, span });
  const outputs = dispatcher.dispatch({ model, request: preprocessed, signal: abort.signal, tracker, span, priority: priorityOf(body.nvext), ...pins });
  const generation = new TextGeneration({ codec: model.codec, outputs, stop, promptTokens: preprocessed.token_ids.length, logprobs });
  const extra = () => nvextAnswer(body.nvext?.extra_fields, tracker.record, generation.usage);
  try {
    if (body.stream === true) {
      await streamAnswer({
        format,
        head,
        generation,
        logprobs,
        extra,
        usage: () => usageOf(generation.usage, tracker.record),
        response,
        signal: abort.signal,
        includeUsage: body.stream_options?.include_usage === true,
      });
    } else {
      const choices = await wholeAnswer(format, generation, logprobs);
      response.json({ ...head, object: format.object.full, choices, usage: usageOf(generation.usage, tracker.record), ...withNvext(extra()) });
    }
    abort.signal.throwIfAborted();
  } catch (error) {
    // Whatever else fails once the client is gone fails because of that.
    throw abort.signal.aborted ? abort.signal.reason : error;
  } finally {
    metrics.output(model.name, generation.usage.completionTokens);
  }
}

async function prepare<Body extends ChatRequest | CompletionRequest>(
  format: AnswerFormat<Body>,
  { body, model, requestId, span: parent }: Pick<Exchange<Body>, 'body' | 'model' | 'requestId' | 'span'>,
  signal: AbortSignal,
  metrics: FrontendMetrics,
) {
  const span = parent.child('preprocess');
  const leave = metrics.stages.enter('preprocess', model.prefill === undefined || model.prefill.workers.size === 0 ? 'aggregated' : 'prefill');
  try {
    const prepared = await format.prepare(body, model, requestId, signal);
    span.set({ prompt_tokens: prepared.preprocessed.token_ids.length });
    span.end();
    return prepared;
  } catch (error) {
    span.end({ error });
    if (!(error instanceof TextCodecError)) throw error;
    throw new ApiError(400, error.message, { param: format.endpoint === 'completions' ? 'prompt' : 'messages', code: error.code.toLowerCase(), cause: error });
  } finally {
    leave();
  }
}

function findModel({ models, records }: CompletionRouteOptions, name: string, requestId: string): ServedModel {
  const model = models.get(name);
  if (model !== undefined && model.workers.size > 0) return model;
  const prefill = models.prefillWorkers(name);
  if (model === undefined && prefill === 0) throw new ApiError(404, `The model \`${name}\` does not exist.`, { param: 'model', code: 'model_not_found' });
  const who = prefill === 0 ? 'No worker' : 'No decode worker';
  const but = prefill === 0 ? '' : ` Its ${prefill} prefill worker${prefill === 1 ? '' : 's'} cannot answer alone.`;
  const message = `${who} of model \`${name}\` is ready.${but}`;
  records.begin({ requestId, model: name, promptTokens: 0 }).ends('error', { plane: 'router', code: 'NO_WORKERS', message });
  throw new ApiError(503, message, { type: 'service_unavailable', code: 'no_workers', plane: 'router', headers: { 'retry-after': '1' } });
}

function errorTypeOf(error: unknown): ErrorType {
  if (error instanceof ClientGone) return 'cancelled';
  const { status } = error instanceof ApiError ? error : { status: 500 };
  if (status === 404) return 'not_found';
  if (status < 500) return 'validation';
  return status === 503 || status === 529 ? 'overload' : 'internal';
}

/**
 * The caller's id, or a new one. Decision, logs and outcome are kept under it, so two requests of one id must not be under way at once: the second is
 * refused (409) rather than renamed, since its caller would look for it under the name it gave. An id that is done may be used again.
 */
function requestIdOf(request: Request, inFlight: ReadonlySet<string>): string {
  const given = request.header('x-request-id');
  if (given === undefined || given === '') return randomUUID();
  if (!/^[\w.:-]{1,128}$/.test(given))
    throw new ApiError(400, 'Validation: x-request-id must be 1 to 128 letters, digits or . _ : -', { param: 'x-request-id' });
  if (inFlight.has(given)) throw new ApiError(409, `Request ${given} is still being answered.`, { param: 'x-request-id', code: 'request_in_flight' });
  return given;
}
