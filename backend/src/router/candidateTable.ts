import type { CandidateScore } from '../protocol/index.ts';
import type { ActiveSequences } from './activeSequences.ts';
import { COST_FORMULAS, type CostContext, type CostFormulaName, type CostInputs, emptyInputs } from './costFormula.ts';
import type { TierOverlap } from './kvIndexer.ts';
import { RouterError } from './routerError.ts';
import type { RowSlabs, Slab } from './rowSlabs.ts';
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

/** One row of whole numbers per candidate. */
const COLUMNS = 8;

/** The costs of the decision under way. */
let costsInUse = new Float64Array(0);

/**
 * The state of every eligible rank at the moment of one decision, and its cost. Kept as plain numbers in a slab, because most
 * decisions are never looked at: the records that people read are made when they are asked for.
 */
export class CandidateTable {
  readonly slots: readonly WorkerSlot[];
  /** Zeros in modes without a cost. Valid until the next table is made. */
  readonly costs: Float64Array;
  /** Absent: the rows are our own. */
  #slab: Slab | undefined;
  readonly #generation: number;
  #rows: Uint32Array;
  #firstRow: number;
  readonly #formula: CostFormulaName | 'none';
  readonly #context: CostContext;

  constructor({ slots, sequence, overlap, active, context, formula, slabs }: CandidateState) {
    this.slots = slots;
    if (costsInUse.length !== slots.length) costsInUse = new Float64Array(slots.length);
    this.costs = costsInUse;
    const slab = slabs.take(slots.length * COLUMNS);
    const { rows } = slab;
    this.#slab = slab;
    this.#generation = slab.generation;
    this.#rows = rows;
    this.#firstRow = slab.used - slots.length * COLUMNS;
    this.#formula = formula;
    this.#context = context;
    const shared = formula === 'none' ? undefined : active.sharedPrefix(sequence, overlap.device.length);
    active.reserve(overlap.device.length);
    const { prefillTokens, promptBlocks, outputBlocks, requests } = active.columns;
    const { device, predicted, lowerTiers } = overlap;
    let minActivePrefillTokens = Infinity;
    for (let i = 0, row = this.#firstRow; i < slots.length; i++, row += COLUMNS) {
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
    if (formula === 'none') this.costs.fill(0);
    else COST_FORMULAS[formula].costs(this, context, this.costs);
  }

  get length(): number {
    return this.slots.length;
  }

  deviceOverlap(index: number): number {
    return this.#known()[this.#firstRow + index * COLUMNS]!;
  }

  activeRequests(): Float64Array {
    return Float64Array.from(this.slots, (_, i) => this.inputs(i).activeRequests);
  }

  /** Fills `target` and returns it. */
  inputs(index: number, target: CostInputs = emptyInputs()): CostInputs {
    const rows = this.#known();
    const row = this.#firstRow + index * COLUMNS;
    target.deviceOverlapBlocks = rows[row]!;
    target.hostOverlapBlocks = rows[row + 1]!;
    target.diskOverlapBlocks = rows[row + 2]!;
    target.additionalDecodeBlocks = rows[row + 3]!;
    target.activePrefillTokens = rows[row + 4]!;
    target.activeDecodeBlocks = rows[row + 5]!;
    target.activeRequests = rows[row + 6]!;
    return target;
  }

  /** The record of one candidate, with every term of its cost. Throws as all readers do once the rows are used for another decision. */
  score(index: number): CandidateScore {
    const { id, dpRank, pod } = this.slots[index]!;
    const inputs = this.inputs(index);
    const predicted = this.#known()[this.#firstRow + index * COLUMNS + 7]!;
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

  /** The rows are copied, because somebody wants to read them later. */
  keep(): void {
    if (this.#slab === undefined) return;
    this.#rows = this.#known().slice(this.#firstRow, this.#firstRow + this.slots.length * COLUMNS);
    this.#firstRow = 0;
    this.#slab = undefined;
  }

  #known(): Uint32Array {
    if (this.#slab !== undefined && this.#slab.generation !== this.#generation) {
      throw new RouterError('DECISION_EXPIRED', 'The candidates of this decision are not kept any more');
    }
    return this.#rows;
  }
}
