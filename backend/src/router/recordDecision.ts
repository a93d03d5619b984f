import type { CandidateScore, RoutingDecision } from '../protocol/index.ts';
import type { CandidateTable } from './candidateTable.ts';
import { explainDecision } from './explain.ts';
import type { Selection } from './selection.ts';
import { rankName } from './whatIf.ts';

interface DecisionFacts extends Pick<
  RoutingDecision,
  'sequence' | 'request_id' | 'model' | 'mode' | 'block_size' | 'isl_tokens' | 'request_blocks' | 'formula' | 'weights'
> {
  /** Sequence hash of the last full block. */
  prefixHash: bigint | undefined;
  /** Clock readings in milliseconds. */
  clock: Record<'start' | 'hashed' | 'matched' | 'end', number>;
  table: CandidateTable;
  selection: Selection;
  /** Index of round-robin's choice. */
  turn: number;
  pinned: boolean;
}

/** The record of a decision. What takes long to make (`candidates`, `tied`, `reason`, texts) is made when it is first read. */
export function recordDecision(facts: DecisionFacts): RoutingDecision {
  const { table, selection, prefixHash, clock } = facts;
  const now = Date.now();
  const name = (index: number): string => rankName(table.slots[index]!.id, table.slots[index]!.dpRank);
  const winner = table.slots[selection.index]!;
  const chosen: RoutingDecision['chosen'] = {
    worker_id: winner.id,
    dp_rank: winner.dpRank,
    overlap_blocks: table.deviceOverlap(selection.index),
    cost: facts.formula === 'none' ? null : table.costs[selection.index]!,
  };
  if (winner.pod !== undefined) chosen.pod = winner.pod;
  let candidates: CandidateScore[] | undefined;
  let tied: string[] | undefined;
  let reason: string | undefined;
  const all = (): CandidateScore[] => (candidates ??= Array.from({ length: table.length }, (_, i) => table.score(i)));
  const names = (): string[] => (tied ??= selection.tied.map(name));
  const decision: RoutingDecision = {
    sequence: facts.sequence,
    request_id: facts.request_id,
    get time() {
      return new Date(now).toISOString();
    },
    model: facts.model,
    mode: facts.mode,
    block_size: facts.block_size,
    isl_tokens: facts.isl_tokens,
    request_blocks: facts.request_blocks,
    formula: facts.formula,
    weights: facts.weights,
    get candidates() {
      return all();
    },
    chosen,
    get tied() {
      return names();
    },
    get reason() {
      return (reason ??= explainDecision({
        mode: facts.mode,
        requestBlocks: facts.request_blocks,
        candidates: all(),
        winner: all()[selection.index]!,
        tied: names(),
        temperature: facts.weights.temperature,
        pinned: facts.pinned,
      }));
    },
    get round_robin_choice() {
      return name(facts.turn % table.length);
    },
    get timing_us() {
      return microseconds(clock);
    },
  };
  if (prefixHash !== undefined) decision.prefix_hash = String(prefixHash);
  return decision;
}

/** The phases of a decision. */
function microseconds({ start, hashed, matched, end }: DecisionFacts['clock']): RoutingDecision['timing_us'] {
  const us = (from: number, to: number): number => Math.round((to - from) * 1e4) / 10;
  return { hashing: us(start, hashed), find_matches: us(hashed, matched), scoring: us(matched, end), total: us(start, end) };
}
