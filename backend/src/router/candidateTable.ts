import type { CandidateScore } from '../protocol/index.ts';
import type { ActiveSequences } from './activeSequences.ts';
import { COST_FORMULAS, type CostContext, type CostFormulaName, type CostInputs } from './costFormula.ts';
import type { TierOverlap } from './kvIndexer.ts';
import type { WorkerSlot } from './workerTable.ts';

interface CandidateState {
  slots: readonly WorkerSlot[];
  sequence: BigUint64Array;
  overlap: TierOverlap;
  active: ActiveSequences;
  context: Omit<CostContext, 'minActivePrefillTokens'>;
  /** `none` in modes that look at no cost. */
  formula: CostFormulaName | 'none';
}

/** One row of numbers per candidate. */
const COLUMNS = 7;

/**
 * The state of every eligible rank at the moment of one decision, and its cost. Kept as plain numbers, because most
 * decisions are never looked at: the records that people read are made when they are asked for.
 */
export class CandidateTable {
  readonly slots: readonly WorkerSlot[];
  /** Zeros in modes without a cost. */
  readonly costs: Float64Array;
  readonly #rows: Float64Array;
  readonly #predicted: Uint32Array | undefined;
  readonly #formula: CostFormulaName | 'none';
  readonly #context: CostContext;

  constructor({ slots, sequence, overlap, active, context, formula }: CandidateState) {
    this.slots = slots;
    this.costs = new Float64Array(slots.length);
    this.#rows = new Float64Array(slots.length * COLUMNS);
    this.#formula = formula;
    this.#predicted = overlap.predicted;
    const shared = formula === 'none' ? undefined : active.sharedPrefix(sequence, overlap.device.length);
    let minActivePrefillTokens = Infinity;
    for (let i = 0; i < slots.length; i++) {
      const { slot } = slots[i]!;
      const load = active.loadOf(slot);
      const row = i * COLUMNS;
      this.#rows[row] = overlap.device[slot]!;
      this.#rows[row + 1] = overlap.host(slot);
      this.#rows[row + 2] = overlap.disk(slot);
      this.#rows[row + 3] = sequence.length - (shared?.[slot] ?? 0);
      this.#rows[row + 4] = load.activePrefillTokens;
      this.#rows[row + 5] = load.activeDecodeBlocks;
      this.#rows[row + 6] = load.activeRequests;
      if (load.activePrefillTokens < minActivePrefillTokens) minActivePrefillTokens = load.activePrefillTokens;
    }
    this.#context = { ...context, minActivePrefillTokens };
    if (formula === 'none') return;
    const { cost } = COST_FORMULAS[formula];
    const inputs = this.inputs(0);
    for (let i = 0; i < slots.length; i++) this.costs[i] = cost(this.inputs(i, inputs), this.#context);
  }

  get length(): number {
    return this.slots.length;
  }

  activeRequests(): Float64Array {
    return Float64Array.from(this.slots, (_, i) => this.inputs(i).activeRequests);
  }

  /** Fills `target` and returns it. */
  inputs(index: number, target: CostInputs = emptyInputs()): CostInputs {
    const row = index * COLUMNS;
    target.deviceOverlapBlocks = this.#rows[row]!;
    target.hostOverlapBlocks = this.#rows[row + 1]!;
    target.diskOverlapBlocks = this.#rows[row + 2]!;
    target.additionalDecodeBlocks = this.#rows[row + 3]!;
    target.activePrefillTokens = this.#rows[row + 4]!;
    target.activeDecodeBlocks = this.#rows[row + 5]!;
    target.activeRequests = this.#rows[row + 6]!;
    return target;
  }

  /** The record of one candidate, with every term of its cost. */
  score(index: number): CandidateScore {
    const { id, dpRank, pod, slot } = this.slots[index]!;
    const inputs = this.inputs(index);
    const predicted = this.#predicted?.[slot] ?? 0;
    const candidate = {
      worker_id: id,
      dp_rank: dpRank,
      ...(pod === undefined ? {} : { pod }),
      overlap_blocks: inputs.deviceOverlapBlocks,
      ...(inputs.hostOverlapBlocks > 0 ? { host_overlap_blocks: inputs.hostOverlapBlocks } : {}),
      ...(inputs.diskOverlapBlocks > 0 ? { disk_overlap_blocks: inputs.diskOverlapBlocks } : {}),
      ...(predicted > 0 ? { predicted_overlap_blocks: predicted } : {}),
      active_prefill_tokens: inputs.activePrefillTokens,
      active_decode_blocks: inputs.activeDecodeBlocks,
      active_requests: inputs.activeRequests,
    };
    if (this.#formula === 'none') return { ...candidate, terms: {}, cost: null };
    return { ...candidate, additional_decode_blocks: inputs.additionalDecodeBlocks, ...COST_FORMULAS[this.#formula].explain(inputs, this.#context) };
  }
}

function emptyInputs(): CostInputs {
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
