import express, { type ErrorRequestHandler, type Express } from 'express';
import type { Logger } from '../observability/index.ts';
import { adminRoutes, type AdminRoutesOptions } from './adminRoutes.ts';
import { ApiError } from './apiError.ts';
import { chatFormat, completionFormat } from './answerFormat.ts';
import { completionRoute, type CompletionRouteOptions } from './completionRoute.ts';
import { explainRoutes, type ExplainRoutesOptions } from './explainRoutes.ts';
import { requestRoutes, type RequestRoutesOptions } from './requestRoutes.ts';
import { standInLabel } from './servedModel.ts';

export interface FrontendAppOptions extends CompletionRouteOptions, ExplainRoutesOptions, RequestRoutesOptions, AdminRoutesOptions {
  /** DYN_HTTP_BODY_LIMIT_MB. */
  bodyLimitMb: number;
}

/** The frontend's HTTP interface. */
export function frontendApp(options: FrontendAppOptions): Express {
  const { models, metrics, logger, bodyLimitMb } = options;
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  const json = express.json({ limit: `${bodyLimitMb}mb`, type: () => true, strict: false });

  app.post('/v1/chat/completions', json, completionRoute(options, chatFormat));
  app.post('/v1/completions', json, completionRoute(options, completionFormat));
  app.get('/v1/models', (_request, response) => {
    response.json({ object: 'list', data: models.models.filter(({ workers }) => workers.size > 0).map(modelEntry) });
  });
  app.get('/v1/models/*name', (request, response) => {
    const name = (request.params['name'] as unknown as string[]).join('/');
    const model = models.get(name);
    if (model === undefined || model.workers.size === 0)
      throw new ApiError(404, `The model \`${name}\` does not exist.`, { param: 'model', code: 'model_not_found' });
    response.json(modelEntry(model));
  });
  app.get('/live', (_request, response) => void response.json({ status: 'live', message: 'Service is live' }));
  app.get('/health', (_request, response) => {
    const instances = models.models.flatMap((model) => [...model.workers.values(), ...(model.prefill?.workers.values() ?? [])]);
    // 200 also without workers, as Dynamo's: the frontend itself is fine.
    response.json({
      status: instances.length > 0 ? 'healthy' : 'unhealthy',
      ...(instances.length > 0 ? {} : { message: 'No endpoints available' }),
      endpoints: [
        ...new Set(instances.flatMap(({ namespace, component, endpoints }) => Object.keys(endpoints).map((name) => `dyn://${namespace}.${component}.${name}`))),
      ],
      instances: instances.flatMap(({ instanceId, pod, namespace, component, endpoints }) =>
        Object.entries(endpoints).map(([endpoint, transport]) => ({ namespace, component, endpoint, instance_id: String(instanceId), transport, pod })),
      ),
    });
  });
  app.get('/metrics', async (_request, response) => {
    response.set('content-type', metrics.contentType).send(await metrics.text());
  });
  app.use('/router', explainRoutes(options));
  app.use('/requests', requestRoutes(options));
  app.use(adminRoutes(options));
  app.use((request, _response) => {
    const known = ['/v1/chat/completions', '/v1/completions'].includes(request.path);
    if (known) throw new ApiError(405, `Only POST is served at ${request.path}.`, { code: 'method_not_allowed', headers: { allow: 'POST' } });
    throw new ApiError(404, `Nothing is served at ${request.method} ${request.path}.`, { code: 'unknown_url' });
  });
  app.use(errorHandler(logger, bodyLimitMb));
  return app;
}

function modelEntry(model: FrontendAppOptions['models']['models'][number]): Record<string, unknown> {
  const { card } = model;
  const label = standInLabel(model);
  return {
    id: model.name,
    object: 'model',
    created: model.created,
    owned_by: 'nvidia',
    max_model_len: card.context_length,
    dynamo_labs: {
      engine: card.engine.name,
      architecture: card.engine.architecture,
      parameters: card.engine.parameters,
      stand_in: card.engine.stand_in,
      ...(label === undefined ? {} : { note: label }),
      kv_cache_block_size: card.kv_cache_block_size,
      workers: model.workers.size,
      ...(model.prefill === undefined ? {} : { prefill_workers: model.prefill.workers.size }),
    },
  };
}

/** Everything that goes wrong ends here, in OpenAI's shape. */
function errorHandler(logger: Logger, bodyLimitMb: number): ErrorRequestHandler {
  return (error: unknown, request, response, _next) => {
    const shown = asApiError(error, bodyLimitMb);
    const line = `${request.method} ${request.path}: ${shown.status} ${shown.message}`;
    const fields = { request_id: String(response.getHeader('x-request-id') ?? ''), param: shown.param };
    if (shown.status >= 500) logger.error(line, fields);
    else logger.info(line, fields);
    if (shown.status >= 500 && !(error instanceof ApiError) && error instanceof Error) logger.error(error.stack ?? error.message);
    if (response.headersSent) response.end();
    else response.status(shown.status).set(shown.headers).json(shown.body);
  };
}

function asApiError(error: unknown, bodyLimitMb: number): ApiError {
  if (error instanceof ApiError) return error;
  const { type, status, message } = (error ?? {}) as { type?: string; status?: number; message?: string };
  if (type === 'entity.too.large')
    return new ApiError(413, `The body is over the limit of ${bodyLimitMb} MB (DYN_HTTP_BODY_LIMIT_MB).`, { param: 'body', code: 'body_too_large' });
  if (type === 'entity.parse.failed') return new ApiError(400, `The body is not valid JSON: ${message}`, { param: 'body', code: 'invalid_json' });
  if (status !== undefined && status >= 400 && status < 500) return new ApiError(status, message ?? 'bad request', { param: 'body' });
  return new ApiError(500, 'internal error', { code: 'internal_error', cause: error });
}
