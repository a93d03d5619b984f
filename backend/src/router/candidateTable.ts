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

/** One row of whole numbers per candidate. */
const COLUMNS = 7;

/** Tables of many decisions share an array, because making an array costs more than filling a table. It lives as long as one of them. */
const SLAB = 1 << 18;
let slab = new Uint32Array(0);
let slabUsed = 0;

function takeRows(length: number): Uint32Array {
  if (slab.length - slabUsed < length) {
    // Filled, so that its pages are there: met one by one, each would hold up a decision.
    slab = new Uint32Array(Math.max(SLAB, length)).fill(0);
    slabUsed = 0;
  }
  slabUsed += length;
  return slab;
}

/** The costs of the decision under way. */
let costsInUse = new Float64Array(0);
const inputsInUse = emptyInputs();

/**
 * The state of every eligible rank at the moment of one decision, and its cost. Kept as plain numbers, because most
 * decisions are never looked at: the records that people read are made when they are asked for.
 */
export class CandidateTable {
  readonly slots: readonly WorkerSlot[];
  /** Zeros in modes without a cost. Valid until the next table is made. */
  readonly costs: Float64Array;
  readonly #rows: Uint32Array;
  readonly #firstRow: number;
  readonly #predicted: Uint32Array | undefined;
  readonly #formula: CostFormulaName | 'none';
  readonly #context: CostContext;

  constructor({ slots, sequence, overlap, active, context, formula }: CandidateState) {
    this.slots = slots;
    if (costsInUse.length !== slots.length) costsInUse = new Float64Array(slots.length);
    const costs = costsInUse;
    this.costs = costs;
    const rows = takeRows(slots.length * COLUMNS);
    this.#rows = rows;
    this.#firstRow = slabUsed - slots.length * COLUMNS;
    this.#formula = formula;
    this.#predicted = overlap.predicted;
    const shared = formula === 'none' ? undefined : active.sharedPrefix(sequence, overlap.device.length);
    active.reserve(overlap.device.length);
    const { prefillTokens, promptBlocks, outputBlocks, requests } = active.columns;
    const { device, lowerTiers } = overlap;
    let minActivePrefillTokens = Infinity;
    for (let i = 0, row = this.#firstRow; i < slots.length; i++, row += COLUMNS) {
      const { slot } = slots[i]!;
      rows[row] = device[slot]!;
      rows[row + 1] = lowerTiers ? overlap.host(slot) : 0;
      rows[row + 2] = lowerTiers ? overlap.disk(slot) : 0;
      rows[row + 3] = sequence.length - (shared ? shared[slot]! : 0);
      rows[row + 4] = prefillTokens[slot]!;
      rows[row + 5] = promptBlocks[slot]! + outputBlocks[slot]!;
      rows[row + 6] = requests[slot]!;
      if (rows[row + 4]! < minActivePrefillTokens) minActivePrefillTokens = rows[row + 4]!;
    }
    this.#context = { islTokens: context.islTokens, blockSize: context.blockSize, weights: context.weights, minActivePrefillTokens };
    if (formula === 'none') {
      costs.fill(0);
      return;
    }
    const { cost } = COST_FORMULAS[formula];
    for (let i = 0; i < slots.length; i++) costs[i] = cost(this.inputs(i, inputsInUse), this.#context);
  }

  get length(): number {
    return this.slots.length;
  }

  deviceOverlap(index: number): number {
    return this.#rows[this.#firstRow + index * COLUMNS]!;
  }

  activeRequests(): Float64Array {
    return Float64Array.from(this.slots, (_, i) => this.inputs(i).activeRequests);
  }

  /** Fills `target` and returns it. */
  inputs(index: number, target: CostInputs = emptyInputs()): CostInputs {
    const row = this.#firstRow + index * COLUMNS;
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
