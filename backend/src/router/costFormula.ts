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

/** Lower `cost` is better; in blocks. It is the sum of `terms`, in their order. */
export interface Cost {
  cost: number;
  terms: Record<string, number>;
  /** What the terms were made of, for the explanation. */
  factors: Record<string, number>;
}

/** What a formula is applied to, by index. */
export interface Candidates {
  readonly length: number;
  /** Fills `target` and returns it. */
  inputs(index: number, target: CostInputs): CostInputs;
}

export interface CostFormula {
  cost(inputs: CostInputs, context: CostContext): number;
  /** The numbers that decide: worked out for every worker of every request, so this makes no objects. */
  costs(candidates: Candidates, context: CostContext, costs: Float64Array): void;
  /** The same number with all that went into it. */
  explain(inputs: CostInputs, context: CostContext): Cost;
}

/** The candidate under way. */
const inputsInUse = emptyInputs();

export function emptyInputs(): CostInputs {
  return {
    deviceOverlapBlocks: 0,
    hostOverlapBlocks: 0,
    diskOverlapBlocks: 0,
    additionalDecodeBlocks: 0,
    activePrefillTokens: 0,
    activeDecodeBlocks: 0,
    activeRequests: 0,
  };
}

/** docs/router/kv_cache_routing.md of 0.8: lower `overlap_score_weight * prefill_blocks + decode_blocks` wins. */
const dynamo08: CostFormula = {
  cost: dynamo08Cost,
  costs(candidates, context, costs) {
    for (let i = 0; i < candidates.length; i++) costs[i] = dynamo08Cost(candidates.inputs(i, inputsInUse), context);
  },
  explain(inputs, context) {
    const prefillCost = context.weights.overlap_score_weight * potentialPrefillBlocks(inputs, context);
    return {
      cost: dynamo08Cost(inputs, context),
      terms: { prefill_cost_blocks: prefillCost, decode_cost_blocks: decodeBlocks(inputs) },
      factors: { potential_prefill_blocks: potentialPrefillBlocks(inputs, context) },
    };
  },
};

function dynamo08Cost(inputs: CostInputs, context: CostContext): number {
  return context.weights.overlap_score_weight * potentialPrefillBlocks(inputs, context) + decodeBlocks(inputs);
}

function potentialPrefillBlocks(inputs: CostInputs, { islTokens, blockSize }: CostContext): number {
  const uncachedTokens = Math.max(islTokens - inputs.deviceOverlapBlocks * blockSize, 0);
  return (inputs.activePrefillTokens + uncachedTokens) / blockSize;
}

/** lib/kv-router/src/scheduling/selector (1.6): backlog plus prompt, less credit for what is cached, plus decode load. */
const linear: CostFormula = {
  cost: linearCost,
  costs(candidates, context, costs) {
    for (let i = 0; i < candidates.length; i++) costs[i] = linearCost(candidates.inputs(i, inputsInUse), context);
  },
  explain(inputs, context) {
    const { prefill_load_scale, decode_active_request_weight } = context.weights;
    const raw = rawPrefillBlocks(inputs, context);
    const [device, host, disk] = [deviceCredit(inputs, context), hostCredit(inputs, context), diskCredit(inputs, context)];
    const adjusted = Math.max(raw - (device + host + disk), 0);
    return {
      cost: linearCost(inputs, context),
      terms: {
        prefill_cost_blocks: prefill_load_scale * adjusted,
        decode_cost_blocks: decodeBlocks(inputs),
        active_request_cost_blocks: decode_active_request_weight * inputs.activeRequests,
      },
      factors: {
        raw_prefill_blocks: raw,
        overlap_credit_decay: overlapCreditDecay(inputs, context),
        device_credit_blocks: device,
        host_credit_blocks: host,
        disk_credit_blocks: disk,
        adjusted_prefill_blocks: adjusted,
      },
    };
  },
};

function linearCost(inputs: CostInputs, context: CostContext): number {
  const { prefill_load_scale, decode_active_request_weight } = context.weights;
  const credit = deviceCredit(inputs, context) + hostCredit(inputs, context) + diskCredit(inputs, context);
  const adjusted = Math.max(rawPrefillBlocks(inputs, context) - credit, 0);
  return prefill_load_scale * adjusted + decodeBlocks(inputs) + decode_active_request_weight * inputs.activeRequests;
}

/** More cached than asked for happens only with stale state; Dynamo then counts the cached tokens. */
function rawPrefillBlocks(inputs: CostInputs, { islTokens, blockSize }: CostContext): number {
  return (inputs.activePrefillTokens + Math.max(islTokens, inputs.deviceOverlapBlocks * blockSize)) / blockSize;
}

function deviceCredit(inputs: CostInputs, context: CostContext): number {
  return context.weights.overlap_score_credit * overlapCreditDecay(inputs, context) * inputs.deviceOverlapBlocks;
}

/** Credit 0 means that Dynamo does not ask its index at all, so the lower tiers count for nothing either. */
function hostCredit({ hostOverlapBlocks }: CostInputs, { weights }: CostContext): number {
  return weights.overlap_score_credit > 0 ? weights.host_cache_hit_weight * hostOverlapBlocks : 0;
}

function diskCredit({ diskOverlapBlocks }: CostInputs, { weights }: CostContext): number {
  return weights.overlap_score_credit > 0 ? weights.disk_cache_hit_weight * diskOverlapBlocks : 0;
}

/** A worker with more prefill backlog than the least loaded one gets less credit for its cache. */
function overlapCreditDecay(inputs: CostInputs, { islTokens, blockSize, minActivePrefillTokens, weights }: CostContext): number {
  if (weights.overlap_score_credit_decay === 0) return 1;
  // In requests of this size; a block that is only begun counts whole here.
  const backlog = (inputs.activePrefillTokens - minActivePrefillTokens) / blockSize / Math.ceil(islTokens / blockSize);
  return 1 / (1 + weights.overlap_score_credit_decay * backlog);
}

function decodeBlocks(inputs: CostInputs): number {
  return inputs.activeDecodeBlocks + inputs.additionalDecodeBlocks;
}

/** Prompt tokens that need no prefill; a block on host or disk counts for what its tier is worth. */
export function effectiveCachedTokens(
  inputs: Pick<CostInputs, 'deviceOverlapBlocks' | 'hostOverlapBlocks' | 'diskOverlapBlocks'>,
  weights: ResolvedWeights,
  blockSize: number,
): number {
  const lowerTiers = weights.host_cache_hit_weight * inputs.hostOverlapBlocks + weights.disk_cache_hit_weight * inputs.diskOverlapBlocks;
  return Math.round((inputs.deviceOverlapBlocks + lowerTiers) * blockSize);
}

export const COST_FORMULAS: Record<CostFormulaName, CostFormula> = { 'dynamo-0.8': dynamo08, linear };
