import { Router, type Request, type Response } from 'express';
import type { RoutingDecision } from '../protocol/index.ts';
import { examineRouter, RouterError, whatIf, type RouterHealth, type WhatIf } from '../router/index.ts';
import { ApiError } from './apiError.ts';
import type { ServedModel } from './servedModel.ts';
import type { ModelManager } from './modelManager.ts';
import { SseStream } from './sseStream.ts';
import type { FrontendArguments } from './arguments.ts';
import type { EventPlane } from '../runtime/index.ts';

export interface ExplainRoutesOptions {
  models: ModelManager;
  flags: FrontendArguments;
  eventPlane: EventPlane | undefined;
  /** Hears every decision when it is made and when its outcome is known. */
  subscribe: (listener: (decision: RoutingDecision) => void) => Disposable;
  /** Aborted when the frontend closes: ends the streams. */
  signal: AbortSignal;
}

/** Decisions that wait for a slow reader of the stream; older ones are left out for it. */
const streamBacklog = 1_000;

/** `/router/*`: what was decided for each request and every term of why. */
export function explainRoutes({ models, flags, eventPlane, subscribe, signal }: ExplainRoutesOptions): Router {
  const router = Router();
  const all = (limit: number, since: number): RoutingDecision[] =>
    models.models
      .flatMap((model) => model.router.decisions.list({ limit, since }))
      .toSorted((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : a.sequence - b.sequence))
      .slice(-limit);

  router.get('/decisions', (request: Request, response: Response) => {
    response.json(all(number(request, 'limit', 100), number(request, 'since', -1)));
  });

  router.get('/decisions/stream', async (_request: Request, response: Response) => {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const queue: RoutingDecision[] = [];
    let wake = (): void => {};
    const ended = AbortSignal.any([gone.signal, signal]);
    const stream = new SseStream(response, ended);
    const subscription = subscribe((decision) => {
      queue.push(structuredClone(decision));
      if (queue.length > streamBacklog) queue.shift();
      wake();
    });
    ended.addEventListener('abort', () => wake(), { once: true });
    try {
      await stream.comment('decisions follow; each comes again when its outcome is known');
      while (!ended.aborted) {
        for (let decision = queue.shift(); decision !== undefined; decision = queue.shift()) await stream.send(decision, { id: decision.sequence });
        let timer: NodeJS.Timeout | undefined;
        await new Promise<void>((resolve) => {
          wake = resolve;
          timer = setTimeout(resolve, 15_000);
        });
        clearTimeout(timer);
        if (queue.length === 0 && !ended.aborted) await stream.comment('keep-alive');
      }
    } catch (error) {
      if (!ended.aborted) throw error;
    } finally {
      subscription[Symbol.dispose]();
      stream.end();
    }
  });

  router.get('/decisions/:requestId', (request: Request, response: Response) => {
    response.json(decisionOf(models, String(request.params['requestId'])));
  });

  router.get('/decisions/:requestId/what-if', (request: Request, response: Response) => {
    response.json(rescored(decisionOf(models, String(request.params['requestId'])), request));
  });

  router.get('/doctor', (_request: Request, response: Response) => {
    response.json({ findings: models.models.flatMap((model) => examineRouter(healthOf(model, flags)).map((finding) => ({ model: model.name, ...finding }))) });
  });

  router.get('/state', (_request: Request, response: Response) => {
    response.json(state(models, flags, eventPlane));
  });
  return router;
}

function decisionOf(models: ModelManager, id: string): RoutingDecision {
  const found = models.models.map((model) => model.router.decisions.get(id)).find((decision) => decision !== undefined);
  if (found === undefined) throw new ApiError(404, `No decision for request ${id} is kept.`, { param: 'request_id', code: 'decision_not_found' });
  return found;
}

/** Query: `formula`, and any weight by its name. */
function rescored(decision: RoutingDecision, request: Request): WhatIf {
  const { formula, ...weights } = request.query;
  if (formula !== undefined && formula !== 'dynamo-0.8' && formula !== 'linear') {
    throw new ApiError(400, 'Validation: formula must be dynamo-0.8 or linear', { param: 'formula' });
  }
  try {
    const numbers = Object.fromEntries(Object.entries(weights).map(([name, text]) => [name, Number(text)]));
    return whatIf(decision, { weights: numbers, ...(formula === undefined ? {} : { formula }) });
  } catch (error) {
    if (error instanceof RouterError) throw new ApiError(400, error.message, { code: error.code.toLowerCase() });
    throw error;
  }
}

function healthOf(model: ServedModel, flags: FrontendArguments): RouterHealth {
  const health = model.router.health();
  return {
    ...health,
    discoveryBackend: flags.discoveryBackend,
    workers: health.workers.map((worker) => {
      const card = model.workers.get(BigInt(worker.worker_id))?.modelCard;
      return { ...worker, cardBlockSize: card?.kv_cache_block_size, cardKvEvents: card?.kv_events };
    }),
  };
}

function state(models: ModelManager, flags: FrontendArguments, eventPlane: EventPlane | undefined): Record<string, unknown> {
  const views = models.models.map((model) => ({ model, stats: model.router.indexStats(), loads: model.router.loads() }));
  const events: Record<string, number> = {};
  for (const { stats } of views) for (const [name, count] of Object.entries(stats.events)) events[name] = (events[name] ?? 0) + count;
  const first = models.models[0]?.router;
  return {
    mode: flags.routerMode,
    formula: flags.routerMode === 'kv' || flags.routerMode === 'direct' ? flags.formula : 'none',
    weights: first?.weights ?? flags.weights,
    block_size: first?.blockSize ?? flags.kvCacheBlockSize ?? null,
    kv_events: flags.kvEvents && flags.routerMode === 'kv' ? { followed: true, ...eventPlane?.state } : { followed: false },
    models: models.models.map((model) => model.name),
    indexed_blocks: views.reduce((sum, { stats }) => sum + stats.blocks, 0),
    events,
    workers: views.flatMap(({ model, stats, loads }) =>
      loads.map((load) => {
        const index = stats.workers.find((worker) => worker.worker_id === load.worker_id && worker.dp_rank === load.dp_rank);
        const card = model.workers.get(BigInt(load.worker_id))?.modelCard;
        return {
          worker_id: load.worker_id,
          dp_rank: load.dp_rank,
          pod: load.pod,
          model: model.name,
          active_prefill_tokens: load.activePrefillTokens,
          active_decode_blocks: load.activeDecodeBlocks,
          active_requests: load.activeRequests,
          total_kv_blocks: card?.total_kv_blocks,
          indexed_blocks: index?.blocks ?? 0,
          last_event_id: index?.last_event_id ?? null,
          gaps: index?.gaps ?? 0,
          kv_events: card?.kv_events,
        };
      }),
    ),
  };
}

function number(request: Request, name: string, fallback: number): number {
  const text = request.query[name];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (typeof text !== 'string' || !Number.isInteger(value)) throw new ApiError(400, `Validation: ${name} must be an integer`, { param: name });
  return value;
}
