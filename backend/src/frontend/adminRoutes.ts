import express, { Router, type Request, type Response } from 'express';
import { z } from 'zod';
import type { Logger } from '../observability/index.ts';
import { RouterError, checkBusyThresholds, type BusyThresholds } from '../router/index.ts';
import { ApiError } from './apiError.ts';
import { InvalidConditionalDisaggError, type ConditionalDisaggSettings } from './conditionalDisaggSettings.ts';
import type { ModelManager } from './modelManager.ts';
import type { ServedModel } from './servedModel.ts';

export interface AdminRoutesOptions {
  models: ModelManager;
  conditional: ConditionalDisaggSettings;
  logger: Logger;
  /** Not DYN_DISABLE_FRONTEND_ADMIN_API. */
  adminApi: boolean;
}

/** Dynamo's names of the thresholds, and the router's. */
const thresholdNames = {
  active_decode_blocks_threshold: 'activeDecodeBlocks',
  active_prefill_tokens_threshold: 'activePrefillTokens',
  active_prefill_tokens_threshold_frac: 'activePrefillTokensFrac',
} as const satisfies Record<string, keyof BusyThresholds>;

const threshold = z.number().nullish();
const busyBody = z.strictObject({
  model: z.string().min(1),
  active_decode_blocks_threshold: threshold,
  active_prefill_tokens_threshold: threshold,
  active_prefill_tokens_threshold_frac: threshold,
});

/** `GET` and `POST` of `/busy_threshold` and `/conditional_disagg`: what may be changed while the frontend runs. */
export function adminRoutes({ models, conditional, logger, adminApi }: AdminRoutesOptions): Router {
  const router = Router();
  const json = express.json({ limit: '64kb', type: () => true });
  const paths = ['/busy_threshold', '/conditional_disagg'];
  router.use(paths, (request: Request, _response, next) => {
    if (!adminApi) throw new ApiError(404, `${request.baseUrl} is switched off (DYN_DISABLE_FRONTEND_ADMIN_API).`, { code: 'admin_api_disabled' });
    next();
  });

  router.get('/conditional_disagg', (_request, response: Response) => void response.json(conditional.current));
  router.post('/conditional_disagg', json, (request: Request, response: Response) => {
    try {
      const current = conditional.change(request.body);
      logger.info('conditional disaggregation changed', { ...current });
      response.json(current);
    } catch (error) {
      if (!(error instanceof InvalidConditionalDisaggError)) throw error;
      throw new ApiError(400, `Validation: ${error.message}`, { param: error.param, code: 'invalid_conditional_disagg', cause: error });
    }
  });

  router.get('/busy_threshold', (_request, response: Response) => void response.json({ thresholds: models.models.map(thresholdsOf) }));
  router.post('/busy_threshold', json, (request: Request, response: Response) => {
    const { model, changes } = readBusyThresholds(models, request.body);
    for (const pool of [model, ...(model.prefill === undefined ? [] : [model.prefill])]) {
      for (const [name, value] of Object.entries(changes) as [keyof BusyThresholds, number | null][]) {
        if (value === null) delete pool.busy[name];
        else pool.busy[name] = value;
      }
    }
    const current = thresholdsOf(model);
    if (Object.keys(changes).length > 0) logger.info('busy thresholds changed', current);
    response.json(current);
  });
  return router;
}

/** Absent: unchanged. `null`: none from now on. */
function readBusyThresholds(models: ModelManager, body: unknown): { model: ServedModel; changes: Partial<Record<keyof BusyThresholds, number | null>> } {
  const parsed = busyBody.safeParse(body);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const param = issue?.code === 'unrecognized_keys' ? issue.keys[0] : issue?.path.join('.');
    throw new ApiError(400, `Validation: ${param === undefined || param === '' ? 'body' : param}: ${issue?.message ?? 'invalid'}`, { param: param || 'body' });
  }
  const { model: name, ...given } = parsed.data;
  const model = models.get(name);
  if (model === undefined) throw new ApiError(404, `The model \`${name}\` does not exist.`, { param: 'model', code: 'model_not_found' });
  const changes: Partial<Record<keyof BusyThresholds, number | null>> = {};
  for (const [field, value] of Object.entries(given) as [keyof typeof thresholdNames, number | null | undefined][]) {
    if (value === undefined) continue;
    const threshold = thresholdNames[field];
    try {
      if (value !== null) checkBusyThresholds({ [threshold]: value });
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      throw new ApiError(400, `Validation: ${field} must be a number above 0`, { param: field, code: error.code.toLowerCase(), cause: error });
    }
    changes[threshold] = value;
  }
  return { model, changes };
}

function thresholdsOf({ name, busy }: ServedModel): { model: string } & Record<keyof typeof thresholdNames, number | null> {
  return {
    model: name,
    active_decode_blocks_threshold: busy.activeDecodeBlocks ?? null,
    active_prefill_tokens_threshold: busy.activePrefillTokens ?? null,
    active_prefill_tokens_threshold_frac: busy.activePrefillTokensFrac ?? null,
  };
}
