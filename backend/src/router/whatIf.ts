import type { CandidateScore, RouterWeights, RoutingDecision } from '../protocol/index.ts';
import { COST_FORMULAS, type CostFormulaName } from './costFormula.ts';
import { DEFAULT_WEIGHTS, resolveWeights } from './routerWeights.ts';
import { softmaxProbabilities } from './selection.ts';

export interface WhatIf {
  formula: CostFormulaName;
  weights: RouterWeights;
  /** In the order of the decision, with the new terms and costs. */
  candidates: (CandidateScore & { probability: number })[];
  /** Workers that could win: those with the lowest cost, or all of them at a temperature above 0. */
  winners: string[];
  /** Whether the worker that was really chosen could still win. */
  sameChoice: boolean;
}

/**
 * Scores a recorded decision again with other weights or the other formula, from the state of that moment.
 * Weights not named keep the value they had. Throws `RouterError` INVALID_ROUTER_CONFIG for weights that make no sense.
 */
export function whatIf(decision: RoutingDecision, change: { weights?: Partial<RouterWeights>; formula?: CostFormulaName } = {}): WhatIf {
  const formula = change.formula ?? (decision.formula === 'none' ? 'linear' : decision.formula);
  const weights = resolveWeights(change.weights, { ...DEFAULT_WEIGHTS, ...decision.weights });
  const minActivePrefillTokens = decision.candidates.reduce((least, candidate) => Math.min(least, candidate.active_prefill_tokens), Infinity);
  const context = { islTokens: decision.isl_tokens, blockSize: decision.block_size, minActivePrefillTokens, weights };
  const rescored = decision.candidates.map((candidate) => ({ ...candidate, ...COST_FORMULAS[formula].explain(costInputsOf(candidate, decision), context) }));
  const costs = rescored.map(({ cost }) => cost);
  const lowest = costs.reduce((least, cost) => Math.min(least, cost), Infinity);
  const ties = costs.filter((cost) => cost === lowest).length;
  const probabilities = weights.temperature > 0 ? softmaxProbabilities(costs, weights.temperature) : costs.map((cost) => (cost === lowest ? 1 / ties : 0));
  const candidates = rescored.map((candidate, i) => ({ ...candidate, probability: probabilities[i]! }));
  const winners = candidates.filter(({ probability }) => probability > 0).map(({ worker_id, dp_rank }) => rankName(worker_id, dp_rank));
  return { formula, weights, candidates, winners, sameChoice: winners.includes(rankName(decision.chosen.worker_id, decision.chosen.dp_rank)) };
}

/** `worker_id`, with `:rank` where it is not rank 0: how decisions name candidates in lists. */
export function rankName(workerId: string, dpRank: number): string {
  return dpRank === 0 ? workerId : `${workerId}:${dpRank}`;
}

function costInputsOf(candidate: CandidateScore, decision: RoutingDecision) {
  return {
    activePrefillTokens: candidate.active_prefill_tokens,
    activeDecodeBlocks: candidate.active_decode_blocks,
    activeRequests: candidate.active_requests,
    deviceOverlapBlocks: candidate.overlap_blocks,
    hostOverlapBlocks: candidate.host_overlap_blocks ?? 0,
    diskOverlapBlocks: candidate.disk_overlap_blocks ?? 0,
    additionalDecodeBlocks: candidate.additional_decode_blocks ?? decision.request_blocks,
  };
}
