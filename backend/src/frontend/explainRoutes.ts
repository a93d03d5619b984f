import { Router, type Request, type Response } from 'express';
import type { RoutingDecision } from '../protocol/index.ts';
import { examineRouter, RouterError, whatIf, type RouterHealth, type WhatIf } from '../router/index.ts';
import { ApiError } from './apiError.ts';
import type { ModelManager } from './modelManager.ts';
import { integerQuery } from './integerQuery.ts';
import { streamRecords } from './recordStream.ts';
import type { FrontendArguments } from './arguments.ts';
import type { ReplicaSync } from './replicaSync.ts';
import type { EventPlane } from '../runtime/index.ts';
import type { WorkerPool } from './workerPool.ts';

export interface ExplainRoutesOptions {
  models: ModelManager;
  flags: FrontendArguments;
  eventPlane: EventPlane | undefined;
  /** Set with `--router-replica-sync`. */
  replicas?: ReplicaSync | undefined;
  /** Hears every decision when it is made and when its outcome is known. */
  subscribe: (listener: (decision: RoutingDecision) => void) => Disposable;
  /** Aborted when the frontend closes: ends the streams. */
  signal: AbortSignal;
}

/** `/router/*`: what was decided for each request and every term of why. */
export function explainRoutes({ models, flags, eventPlane, replicas, subscribe, signal }: ExplainRoutesOptions): Router {
  const router = Router();
  const all = (pools: WorkerPool[], limit: number, since: number): RoutingDecision[] =>
    pools
      .flatMap((pool) => pool.router.decisions.list({ limit, since }))
      .toSorted((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : a.sequence - b.sequence))
      .slice(-limit);

  router.get('/decisions', (request: Request, response: Response) => {
    response.json(all(poolsOf(models, request), integerQuery(request, 'limit', 100), integerQuery(request, 'since', -1)));
  });

  router.get('/decisions/stream', async (_request: Request, response: Response) => {
    const greeting = 'decisions follow; each comes again when its outcome is known';
    await streamRecords({ response, signal, greeting, subscribe, idOf: ({ sequence }) => sequence });
  });

  router.get('/decisions/:requestId', (request: Request, response: Response) => {
    response.json(decisionOf(poolsOf(models, request), String(request.params['requestId'])));
  });

  router.get('/decisions/:requestId/what-if', (request: Request, response: Response) => {
    response.json(rescored(decisionOf(poolsOf(models, request), String(request.params['requestId'])), request));
  });

  router.get('/doctor', (_request: Request, response: Response) => {
    const pools = models.models.flatMap((model) => [model, ...(model.prefill === undefined ? [] : [model.prefill])]);
    response.json({ findings: pools.flatMap((pool) => examineRouter(healthOf(pool, flags)).map((finding) => ({ model: pool.name, ...finding }))) });
  });

  router.get('/state', (_request: Request, response: Response) => {
    response.json({ ...state(models, flags, eventPlane), replica_sync: replicas?.state ?? null });
  });
  return router;
}

/** Query `pool`: `decode` (the default) or `prefill`. */
function poolsOf(models: ModelManager, request: Request): WorkerPool[] {
  const { pool = 'decode' } = request.query;
  if (pool !== 'decode' && pool !== 'prefill') throw new ApiError(400, 'Validation: pool must be decode or prefill', { param: 'pool' });
  return models.models.flatMap((model) => (pool === 'decode' ? [model] : (model.prefill ?? [])));
}

function decisionOf(pools: WorkerPool[], id: string): RoutingDecision {
  const found = pools.map(({ router }) => router.decisions.get(id)).find((decision) => decision !== undefined);
  if (found === undefined) throw new ApiError(404, `No decision for request ${id} is kept.`, { param: 'request_id', code: 'decision_not_found' });
  return found;
}

/** Query: `formula`, and any weight by its name. */
function rescored(decision: RoutingDecision, request: Request): WhatIf {
  const { formula, pool: _, ...weights } = request.query;
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

function healthOf(pool: WorkerPool, flags: FrontendArguments): RouterHealth {
  const health = pool.router.health();
  return {
    ...health,
    discoveryBackend: flags.discoveryBackend,
    workers: health.workers.map((worker) => {
      const card = pool.workers.get(BigInt(worker.worker_id))?.modelCard;
      return { ...worker, cardBlockSize: card?.kv_cache_block_size, cardKvEvents: card?.kv_events };
    }),
  };
}

function state(models: ModelManager, flags: FrontendArguments, eventPlane: EventPlane | undefined): Record<string, unknown> {
  const indexes = models.models.map(({ router }) => router.indexStats());
  const events: Record<string, number> = {};
  for (const index of indexes) for (const [name, count] of Object.entries(index.events)) events[name] = (events[name] ?? 0) + count;
  const first = models.models[0]?.router;
  return {
    mode: flags.routerMode,
    formula: flags.routerMode === 'kv' || flags.routerMode === 'direct' ? flags.formula : 'none',
    weights: first?.weights ?? flags.weights,
    block_size: first?.blockSize ?? flags.kvCacheBlockSize ?? null,
    kv_events: flags.kvEvents && flags.routerMode === 'kv' ? { followed: true, ...eventPlane?.state } : { followed: false },
    models: models.models.map((model) => model.name),
    indexed_blocks: indexes.reduce((sum, { blocks }) => sum + blocks, 0),
    events,
    workers: models.models.flatMap(workersOf),
    prefill_workers: models.models.flatMap(({ prefill }) => (prefill === undefined ? [] : workersOf(prefill))),
  };
}

/** Each worker of a pool with what the router counts and knows of it. */
function workersOf(pool: WorkerPool): Record<string, unknown>[] {
  const stats = pool.router.indexStats();
  return pool.router.loads().map((load) => {
    const index = stats.workers.find((worker) => worker.worker_id === load.worker_id && worker.dp_rank === load.dp_rank);
    const card = pool.workers.get(BigInt(load.worker_id))?.modelCard;
    return {
      worker_id: load.worker_id,
      dp_rank: load.dp_rank,
      pod: load.pod,
      model: pool.name,
      active_prefill_tokens: load.activePrefillTokens,
      active_decode_blocks: load.activeDecodeBlocks,
      active_requests: load.activeRequests,
      total_kv_blocks: card?.total_kv_blocks,
      indexed_blocks: index?.blocks ?? 0,
      last_event_id: index?.last_event_id ?? null,
      gaps: index?.gaps ?? 0,
      kv_events: card?.kv_events,
    };
  });
}
