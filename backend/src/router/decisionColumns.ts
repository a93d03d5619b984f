import { CandidateRows } from './candidateRows.ts';
import type { DecisionFacts } from './recordedDecision.ts';
import type { Slab } from './rowSlabs.ts';

type Common = Pick<DecisionFacts, 'model' | 'mode' | 'block_size' | 'formula' | 'weights' | 'pinned'> & { slots: CandidateRows['place']['slots'] };

/** 64-bit numbers per decision. */
const NUMBERS = 16;

/**
 * What is known of the last decisions, in columns: plain numbers in one piece of memory, and few objects. A thousand objects that live long and die
 * would be copied by every garbage collection meanwhile, and each lies in memory that has rested when it is replaced.
 */
export class DecisionColumns {
  readonly #numbers: Float64Array;
  readonly #hashes: BigUint64Array;
  readonly #requestIds: string[] = [];
  readonly #commons: Common[] = [];
  readonly #slabs: Slab[] = [];
  readonly #tied: (number[] | undefined)[] = [];
  #common: Common | undefined;

  constructor(places: number, createRows: (length: number) => Uint32Array) {
    const memory = createRows(2 * NUMBERS * places);
    this.#numbers = new Float64Array(memory.buffer, memory.byteOffset, NUMBERS * places);
    this.#hashes = new BigUint64Array(memory.buffer, memory.byteOffset, NUMBERS * places);
  }

  /** Overwrites the place, which is at most one behind the last that was filled. */
  put(place: number, facts: DecisionFacts): void {
    const { slab, generation, firstRow, context } = facts.rows.place;
    const numbers = this.#numbers;
    const at = place * NUMBERS;
    numbers[at] = facts.sequence;
    numbers[at + 1] = facts.isl_tokens;
    numbers[at + 2] = facts.request_blocks;
    numbers[at + 3] = facts.decidedAt;
    numbers[at + 4] = facts.start;
    numbers[at + 5] = facts.hashed;
    numbers[at + 6] = facts.matched;
    numbers[at + 7] = facts.end;
    numbers[at + 8] = facts.selection.index;
    numbers[at + 9] = facts.chosenOverlap;
    numbers[at + 10] = facts.chosenCost;
    numbers[at + 11] = facts.turn;
    numbers[at + 12] = generation;
    numbers[at + 13] = firstRow;
    numbers[at + 14] = context.minActivePrefillTokens;
    this.#hashes[at + 15] = facts.prefixHash ?? 0n;
    this.#requestIds[place] = facts.request_id;
    this.#commons[place] = this.#commonOf(facts);
    this.#slabs[place] = slab;
    this.#tied[place] = facts.selection.tied;
  }

  sequenceOf(place: number): number {
    return this.#numbers[place * NUMBERS]!;
  }

  requestIdOf(place: number): string | undefined {
    return this.#requestIds[place];
  }

  /** The same facts again. */
  factsOf(place: number): DecisionFacts {
    const { slots, ...common } = this.#commons[place]!;
    const at = place * NUMBERS;
    const number = (column: number): number => this.#numbers[at + column]!;
    const [islTokens, requestBlocks] = [number(1), number(2)];
    const context = { islTokens, blockSize: common.block_size, minActivePrefillTokens: number(14), weights: common.weights };
    const tied = this.#tied[place];
    return {
      ...common,
      sequence: number(0),
      request_id: this.#requestIds[place]!,
      isl_tokens: islTokens,
      request_blocks: requestBlocks,
      prefixHash: requestBlocks === 0 ? undefined : this.#hashes[at + 15]!,
      decidedAt: number(3),
      start: number(4),
      hashed: number(5),
      matched: number(6),
      end: number(7),
      selection: tied === undefined ? { index: number(8) } : { index: number(8), tied },
      chosenOverlap: number(9),
      chosenCost: number(10),
      turn: number(11),
      rows: new CandidateRows({ slots, formula: common.formula, context, slab: this.#slabs[place]!, generation: number(12), firstRow: number(13) }),
    };
  }

  /** Decisions share these until the workers, the weights or the model change. */
  #commonOf({ model, mode, block_size, formula, weights, pinned, rows }: DecisionFacts): Common {
    const { slots } = rows.place;
    const known = this.#common;
    if (known && known.slots === slots && known.weights === weights && known.model === model && known.formula === formula && known.pinned === pinned)
      return known;
    return (this.#common = { model, mode, block_size, formula, weights, pinned, slots });
  }
}
