/** The KV-aware router: which worker a request goes to, and why. Pure: imports only protocol. */
export { ActiveSequences, type WorkerLoad } from './activeSequences.ts';
export { COST_FORMULAS, type Cost, type CostContext, type CostFormulaName, type CostInputs, effectiveCachedTokens } from './costFormula.ts';
export { type DecisionListener, DecisionStore } from './decisionStore.ts';
export type { EventGap } from './eventStream.ts';
export type { ApplyResult, ApplyStatus, EventRecovery } from './kvIndexer.ts';
export { KvRouter, type KvRouterOptions, type RouteRequest } from './kvRouter.ts';
export { MapPrefixIndex } from './mapPrefixIndex.ts';
export type { PrefixIndex, PrefixIndexStats, StoreStatus } from './prefixIndex.ts';
export { RouterError, type RouterErrorCode } from './routerError.ts';
export { DEFAULT_WEIGHTS, resolveWeights } from './routerWeights.ts';
export { SeededRandom } from './seededRandom.ts';
export { type WhatIf, whatIf } from './whatIf.ts';
export type { WorkerDescription } from './workerTable.ts';
