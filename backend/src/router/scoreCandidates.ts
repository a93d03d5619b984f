import type { CandidateScore } from '../protocol/index.ts';
import type { ActiveSequences } from './activeSequences.ts';
import { COST_FORMULAS, type CostFormulaName } from './costFormula.ts';
import type { TierOverlap } from './kvIndexer.ts';
import type { ResolvedWeights } from './routerWeights.ts';
import type { WorkerSlot } from './workerTable.ts';

interface Scoring {
  slots: readonly WorkerSlot[];
  sequence: BigUint64Array;
  overlap: TierOverlap;
  active: ActiveSequences;
  islTokens: number;
  blockSize: number;
  weights: ResolvedWeights;
  /** `none` in modes that look at no cost. */
  formula: CostFormulaName | 'none';
}

/** One record per eligible rank, in their order: what it holds, what it is doing, and what the formula makes of it. */
export function scoreCandidates({ slots, sequence, overlap, active, islTokens, blockSize, weights, formula }: Scoring): CandidateScore[] {
  const loads = slots.map(({ slot }) => active.loadOf(slot));
  let minActivePrefillTokens = Infinity;
  for (const { activePrefillTokens } of loads) minActivePrefillTokens = Math.min(minActivePrefillTokens, activePrefillTokens);
  const context = { islTokens, blockSize, minActivePrefillTokens, weights };
  const shared = new Uint32Array(overlap.device.length);
  if (formula !== 'none') active.sharedPrefix(sequence, shared);
  return slots.map(({ slot, id, dpRank, pod }, i) => {
    const load = loads[i]!;
    const deviceOverlapBlocks = overlap.device[slot]!;
    const hostOverlapBlocks = overlap.host(slot);
    const diskOverlapBlocks = overlap.disk(slot);
    const predicted = overlap.predicted?.[slot] ?? 0;
    const candidate = {
      worker_id: id,
      dp_rank: dpRank,
      ...(pod === undefined ? {} : { pod }),
      overlap_blocks: deviceOverlapBlocks,
      ...(hostOverlapBlocks > 0 ? { host_overlap_blocks: hostOverlapBlocks } : {}),
      ...(diskOverlapBlocks > 0 ? { disk_overlap_blocks: diskOverlapBlocks } : {}),
      ...(predicted > 0 ? { predicted_overlap_blocks: predicted } : {}),
      active_prefill_tokens: load.activePrefillTokens,
      active_decode_blocks: load.activeDecodeBlocks,
      active_requests: load.activeRequests,
    };
    if (formula === 'none') return { ...candidate, terms: {}, cost: null };
    const additionalDecodeBlocks = sequence.length - shared[slot]!;
    const inputs = { ...load, deviceOverlapBlocks, hostOverlapBlocks, diskOverlapBlocks, additionalDecodeBlocks };
    return { ...candidate, additional_decode_blocks: additionalDecodeBlocks, ...COST_FORMULAS[formula](inputs, context) };
  });
}
