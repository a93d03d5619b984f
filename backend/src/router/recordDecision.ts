import type { CandidateScore, RoutingDecision } from '../protocol/index.ts';
import type { CandidateTable } from './candidateTable.ts';
import { explainDecision } from './explain.ts';
import type { Selection } from './selection.ts';
import { rankName } from './whatIf.ts';

interface DecisionFacts extends Pick<
  RoutingDecision,
  'sequence' | 'request_id' | 'model' | 'mode' | 'block_size' | 'isl_tokens' | 'request_blocks' | 'prefix_hash' | 'formula' | 'weights' | 'timing_us'
> {
  table: CandidateTable;
  selection: Selection;
  /** Index of round-robin's choice. */
  turn: number;
  pinned: boolean;
}

/** The record of a decision. Its long parts (`candidates`, `tied`, `reason`) are worked out when they are first read. */
export function recordDecision({ table, selection, turn, pinned, ...facts }: DecisionFacts): RoutingDecision {
  const name = (index: number): string => rankName(table.slots[index]!.id, table.slots[index]!.dpRank);
  const winner = table.slots[selection.index]!;
  let candidates: CandidateScore[] | undefined;
  let tied: string[] | undefined;
  let reason: string | undefined;
  const all = (): CandidateScore[] => (candidates ??= Array.from({ length: table.length }, (_, i) => table.score(i)));
  const names = (): string[] => (tied ??= selection.tied.map(name));
  return {
    ...facts,
    time: new Date().toISOString(),
    get candidates() {
      return all();
    },
    chosen: {
      worker_id: winner.id,
      dp_rank: winner.dpRank,
      ...(winner.pod === undefined ? {} : { pod: winner.pod }),
      overlap_blocks: table.inputs(selection.index).deviceOverlapBlocks,
      cost: facts.formula === 'none' ? null : table.costs[selection.index]!,
    },
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
        pinned,
      }));
    },
    round_robin_choice: name(turn % table.length),
  };
}

/** The phases of a decision from its clock readings in milliseconds. */
export function microseconds({ start, hashed, matched, end }: Record<'start' | 'hashed' | 'matched' | 'end', number>): RoutingDecision['timing_us'] {
  const us = (from: number, to: number): number => Math.round((to - from) * 1e4) / 10;
  return { hashing: us(start, hashed), find_matches: us(hashed, matched), scoring: us(matched, end), total: us(start, end) };
}
