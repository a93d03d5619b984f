import type { CandidateScore } from '../protocol/index.ts';
import type { WorkerLoad } from './activeSequences.ts';
import type { ResolvedWeights } from './routerWeights.ts';

/** `dynamo-0.8`: `weight * prefill blocks + decode blocks`. `linear`: Dynamo 1.6's, with credits per cache tier. */
export type CostFormulaName = 'dynamo-0.8' | 'linear';

/** Everything the formulas look at for one worker. Blocks and tokens, never bytes. */
export interface CostInputs extends WorkerLoad {
  /** Leading blocks of the prompt in the worker's GPU cache. */
  deviceOverlapBlocks: number;
  /** Blocks right after those in its host cache, and right after these on its disk. */
  hostOverlapBlocks: number;
  diskOverlapBlocks: number;
  /** Blocks of the prompt that no running request of the worker uses. */
  additionalDecodeBlocks: number;
}

export interface CostContext {
  islTokens: number;
  blockSize: number;
  /** The least `activePrefillTokens` over all candidates: the floor of the credit decay. */
  minActivePrefillTokens: number;
  weights: ResolvedWeights;
}

export interface Cost {
  /** Lower is better; in blocks. The sum of `terms`, in their order. */
  cost: number;
  terms: Record<string, number>;
  /** What the terms were made of, for the explanation. */
  factors: Record<string, number>;
}

export type CostFormula = (inputs: CostInputs, context: CostContext) => Cost;

/** docs/router/kv_cache_routing.md of 0.8: lower `overlap_score_weight * prefill_blocks + decode_blocks` wins. */
function dynamo08(inputs: CostInputs, { islTokens, blockSize, weights }: CostContext): Cost {
  const uncachedTokens = Math.max(islTokens - inputs.deviceOverlapBlocks * blockSize, 0);
  const prefillBlocks = (inputs.activePrefillTokens + uncachedTokens) / blockSize;
  const prefillCost = weights.overlap_score_weight * prefillBlocks;
  const decodeCost = inputs.activeDecodeBlocks + inputs.additionalDecodeBlocks;
  return {
    cost: prefillCost + decodeCost,
    terms: { prefill_cost_blocks: prefillCost, decode_cost_blocks: decodeCost },
    factors: { uncached_tokens: uncachedTokens, potential_prefill_blocks: prefillBlocks },
  };
}

/** lib/kv-router/src/scheduling/selector (1.6): backlog plus prompt, less credit for what is cached, plus decode load. */
function linear(inputs: CostInputs, { islTokens, blockSize, minActivePrefillTokens, weights }: CostContext): Cost {
  const cachedTokens = inputs.deviceOverlapBlocks * blockSize;
  // More cached than asked for happens only with stale state; Dynamo then counts the cached tokens.
  const rawPrefillBlocks = (inputs.activePrefillTokens + Math.max(islTokens, cachedTokens)) / blockSize;
  // Backlog above the least loaded worker, in requests of this size; a block that is only begun counts whole here.
  const backlog = (inputs.activePrefillTokens - minActivePrefillTokens) / blockSize / Math.ceil(islTokens / blockSize);
  const decay = overlapCreditDecay(backlog, weights);
  const deviceCredit = weights.overlap_score_credit * decay * inputs.deviceOverlapBlocks;
  // Credit 0 means that Dynamo does not ask its index at all, so the lower tiers count for nothing either.
  const lowerTiers = weights.overlap_score_credit > 0 ? 1 : 0;
  const hostCredit = lowerTiers * weights.host_cache_hit_weight * inputs.hostOverlapBlocks;
  const diskCredit = lowerTiers * weights.disk_cache_hit_weight * inputs.diskOverlapBlocks;
  const adjusted = Math.max(rawPrefillBlocks - (deviceCredit + hostCredit + diskCredit), 0);
  const prefillCost = weights.prefill_load_scale * adjusted;
  const decodeCost = inputs.activeDecodeBlocks + inputs.additionalDecodeBlocks;
  const requestCost = weights.decode_active_request_weight * inputs.activeRequests;
  return {
    cost: prefillCost + decodeCost + requestCost,
    terms: { prefill_cost_blocks: prefillCost, decode_cost_blocks: decodeCost, active_request_cost_blocks: requestCost },
    factors: {
      raw_prefill_blocks: rawPrefillBlocks,
      overlap_credit_decay: decay,
      device_credit_blocks: deviceCredit,
      host_credit_blocks: hostCredit,
      disk_credit_blocks: diskCredit,
      adjusted_prefill_blocks: adjusted,
    },
  };
}

/** A worker with more prefill backlog than the least loaded one gets less credit for its cache. */
function overlapCreditDecay(backlogInRequests: number, { overlap_score_credit_decay: decay }: ResolvedWeights): number {
  return 1 / (1 + decay * backlogInRequests);
}

/** Prompt tokens that need no prefill; a block on host or disk counts for what its tier is worth. */
export function effectiveCachedTokens(candidate: CandidateScore, weights: ResolvedWeights, blockSize: number): number {
  const { overlap_blocks: device, host_overlap_blocks: host = 0, disk_overlap_blocks: disk = 0 } = candidate;
  return Math.round((device + weights.host_cache_hit_weight * host + weights.disk_cache_hit_weight * disk) * blockSize);
}

export const COST_FORMULAS: Record<CostFormulaName, CostFormula> = { 'dynamo-0.8': dynamo08, linear };
