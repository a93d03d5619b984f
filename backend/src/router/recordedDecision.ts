import type { CandidateScore, RoutingDecision } from '../protocol/index.ts';
import type { CandidateRows } from './candidateRows.ts';
import { explainDecision } from './explain.ts';
import type { ResolvedWeights } from './routerWeights.ts';
import type { Selection } from './selection.ts';
import { rankName } from './whatIf.ts';

export interface DecisionFacts extends Pick<
  RoutingDecision,
  'sequence' | 'request_id' | 'model' | 'mode' | 'block_size' | 'isl_tokens' | 'request_blocks' | 'formula'
> {
  weights: ResolvedWeights;
  /** Sequence hash of the last full block. */
  prefixHash: bigint | undefined;
  /** Milliseconds since the epoch. */
  decidedAt: number;
  /** Clock readings in milliseconds. */
  start: number;
  hashed: number;
  matched: number;
  end: number;
  rows: CandidateRows;
  selection: Selection;
  /** Overlap and cost of the winner. */
  chosenOverlap: number;
  chosenCost: number;
  /** Index of round-robin's choice. */
  turn: number;
  pinned: boolean;
}

/**
 * The record of a decision: the facts as they were, and texts and objects only when they are read. Candidates (and what is told from them: `tied`,
 * `reason`) of a decision that `route` returned can be read as long as it is in its store, and for ever once they were read; later they may throw
 * `RouterError` DECISION_EXPIRED. The rest can always be read.
 */
export class RecordedDecision implements RoutingDecision {
  outcome?: NonNullable<RoutingDecision['outcome']>;
  readonly facts: DecisionFacts;
  #chosen: RoutingDecision['chosen'] | undefined;
  #candidates: CandidateScore[] | undefined;

  constructor(facts: DecisionFacts) {
    this.facts = facts;
  }

  get sequence(): number {
    return this.facts.sequence;
  }

  get request_id(): string {
    return this.facts.request_id;
  }

  get time(): string {
    return new Date(this.facts.decidedAt).toISOString();
  }

  get model(): string {
    return this.facts.model;
  }

  get mode(): RoutingDecision['mode'] {
    return this.facts.mode;
  }

  get block_size(): number {
    return this.facts.block_size;
  }

  get isl_tokens(): number {
    return this.facts.isl_tokens;
  }

  get request_blocks(): number {
    return this.facts.request_blocks;
  }

  get prefix_hash(): string | undefined {
    return this.facts.prefixHash?.toString();
  }

  get formula(): RoutingDecision['formula'] {
    return this.facts.formula;
  }

  get weights(): RoutingDecision['weights'] {
    return this.facts.weights;
  }

  get candidates(): CandidateScore[] {
    const { rows } = this.facts;
    return (this.#candidates ??= Array.from({ length: rows.length }, (_, i) => rows.score(i)));
  }

  get chosen(): RoutingDecision['chosen'] {
    if (this.#chosen) return this.#chosen;
    const { rows, selection, formula, chosenOverlap, chosenCost } = this.facts;
    const { id, dpRank, pod } = rows.place.slots[selection.index]!;
    this.#chosen = { worker_id: id, dp_rank: dpRank, overlap_blocks: chosenOverlap, cost: formula === 'none' ? null : chosenCost };
    if (pod !== undefined) this.#chosen.pod = pod;
    return this.#chosen;
  }

  get tied(): string[] {
    const { selection, chosenCost } = this.facts;
    if (selection.tied) return selection.tied.map((index) => this.#name(index));
    return this.candidates.filter(({ cost }) => cost === chosenCost).map(({ worker_id, dp_rank }) => rankName(worker_id, dp_rank));
  }

  get reason(): string {
    const { mode, request_blocks, weights, selection, pinned } = this.facts;
    const { candidates, tied } = this;
    const winner = candidates[selection.index]!;
    return explainDecision({ mode, requestBlocks: request_blocks, candidates, winner, tied, temperature: weights.temperature, pinned });
  }

  get round_robin_choice(): string {
    return this.#name(this.facts.turn);
  }

  get timing_us(): RoutingDecision['timing_us'] {
    const { start, hashed, matched, end } = this.facts;
    const us = (from: number, to: number): number => Math.round((to - from) * 1e4) / 10;
    return { hashing: us(start, hashed), find_matches: us(hashed, matched), scoring: us(matched, end), total: us(start, end) };
  }

  /** Somebody is going to read this: it stays readable when the store drops it. */
  keep(): void {
    if (!this.#candidates) this.facts.rows.keep();
  }

  toJSON(): RoutingDecision {
    const { sequence, request_id, time, model, mode, block_size, isl_tokens, request_blocks, prefix_hash, formula, weights } = this;
    const { candidates, chosen, tied, reason, round_robin_choice, timing_us, outcome } = this;
    return {
      ...{ sequence, request_id, time, model, mode, block_size, isl_tokens, request_blocks },
      ...(prefix_hash === undefined ? {} : { prefix_hash }),
      ...{ formula, weights, candidates, chosen, tied, reason, round_robin_choice, timing_us },
      ...(outcome === undefined ? {} : { outcome }),
    };
  }

  #name(index: number): string {
    const { id, dpRank } = this.facts.rows.place.slots[index]!;
    return rankName(id, dpRank);
  }
}
