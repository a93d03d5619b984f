import type { CandidateScore } from '../protocol/index.ts';
import { COST_FORMULAS, type CostContext, type CostFormulaName, type CostInputs, emptyInputs } from './costFormula.ts';
import { RouterError } from './routerError.ts';
import type { Slab } from './rowSlabs.ts';
import type { WorkerSlot } from './workerTable.ts';

/** Where the rows of one decision lie, and what they are to be read with. */
export interface CandidatePlace {
  slots: readonly WorkerSlot[];
  /** `none` in modes that look at no cost. */
  formula: CostFormulaName | 'none';
  context: CostContext;
  slab: Slab;
  /** The slab's, when the rows were filled. */
  generation: number;
  firstRow: number;
}

/** One row of whole numbers per candidate. */
export const COLUMNS = 8;

/**
 * The state of every eligible rank at the moment of one decision. Kept as plain numbers in a slab, because most
 * decisions are never looked at: the records that people read are made when they are asked for.
 */
export class CandidateRows {
  readonly place: CandidatePlace;
  /** Rows of our own, once they are kept. */
  #kept: Uint32Array | undefined;

  constructor(place: CandidatePlace) {
    this.place = place;
  }

  get length(): number {
    return this.place.slots.length;
  }

  deviceOverlap(index: number): number {
    return this.#rows()[this.#first() + index * COLUMNS]!;
  }

  activeRequests(): Float64Array {
    return Float64Array.from(this.place.slots, (_, i) => this.inputs(i).activeRequests);
  }

  /** Fills `target` and returns it. */
  inputs(index: number, target: CostInputs = emptyInputs()): CostInputs {
    const rows = this.#rows();
    const row = this.#first() + index * COLUMNS;
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
    const { slots, formula, context } = this.place;
    const { id, dpRank, pod } = slots[index]!;
    const inputs = this.inputs(index);
    const predicted = this.#rows()[this.#first() + index * COLUMNS + 7]!;
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
    if (formula === 'none') return { ...candidate, terms: {}, cost: null };
    return { ...candidate, additional_decode_blocks: inputs.additionalDecodeBlocks, ...COST_FORMULAS[formula].explain(inputs, context) };
  }

  /** The rows are copied, because somebody wants to read them later. */
  keep(): void {
    const { firstRow } = this.place;
    this.#kept ??= this.#rows().slice(firstRow, firstRow + this.length * COLUMNS);
  }

  #first(): number {
    return this.#kept ? 0 : this.place.firstRow;
  }

  #rows(): Uint32Array {
    const { slab, generation } = this.place;
    if (this.#kept) return this.#kept;
    if (slab.generation !== generation) throw new RouterError('DECISION_EXPIRED', 'The candidates of this decision are not kept any more');
    return slab.rows;
  }
}
