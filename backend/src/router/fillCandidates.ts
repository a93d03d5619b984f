import type { ActiveSequences } from './activeSequences.ts';
import { CandidateRows, COLUMNS } from './candidateRows.ts';
import { COST_FORMULAS, type CostContext, type CostFormulaName } from './costFormula.ts';
import type { TierOverlap } from './kvIndexer.ts';
import type { RowSlabs } from './rowSlabs.ts';
import type { WorkerSlot } from './workerTable.ts';

interface CandidateState {
  slots: readonly WorkerSlot[];
  sequence: BigUint64Array;
  overlap: TierOverlap;
  active: ActiveSequences;
  /** `minActivePrefillTokens` is filled in. */
  context: CostContext;
  /** `none` in modes that look at no cost. */
  formula: CostFormulaName | 'none';
  slabs: RowSlabs;
}

/** The costs of the decision under way. */
let costsInUse = new Float64Array(0);

/** Notes the state of every eligible rank, and says what each costs: zeros in modes without a cost. The costs are valid until the next call. */
export function fillCandidates({ slots, sequence, overlap, active, context, formula, slabs }: CandidateState): { rows: CandidateRows; costs: Float64Array } {
  if (costsInUse.length !== slots.length) costsInUse = new Float64Array(slots.length);
  const slab = slabs.take(slots.length * COLUMNS);
  const firstRow = slab.used - slots.length * COLUMNS;
  const { rows, generation } = slab;
  const shared = formula === 'none' ? undefined : active.sharedPrefix(sequence, overlap.device.length);
  active.reserve(overlap.device.length);
  const { prefillTokens, promptBlocks, outputBlocks, requests } = active.columns;
  const { device, predicted, lowerTiers } = overlap;
  let minActivePrefillTokens = Infinity;
  for (let i = 0, row = firstRow; i < slots.length; i++, row += COLUMNS) {
    const { slot } = slots[i]!;
    const waiting = prefillTokens[slot]!;
    rows[row] = device[slot]!;
    rows[row + 1] = lowerTiers ? overlap.host(slot) : 0;
    rows[row + 2] = lowerTiers ? overlap.disk(slot) : 0;
    rows[row + 3] = sequence.length - (shared ? shared[slot]! : 0);
    rows[row + 4] = waiting;
    rows[row + 5] = promptBlocks[slot]! + outputBlocks[slot]!;
    rows[row + 6] = requests[slot]!;
    rows[row + 7] = predicted ? predicted[slot]! : 0;
    if (waiting < minActivePrefillTokens) minActivePrefillTokens = waiting;
  }
  context.minActivePrefillTokens = minActivePrefillTokens;
  const candidates = new CandidateRows({ slots, formula, context, slab, generation, firstRow });
  if (formula === 'none') costsInUse.fill(0);
  else COST_FORMULAS[formula].costs(candidates, context, costsInUse);
  return { rows: candidates, costs: costsInUse };
}
