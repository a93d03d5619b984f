import { sequenceHashes } from '../../backend/src/protocol/blockHash.ts';
import type { PrefixIndex, StoreStatus } from '../../backend/src/router/index.ts';
import { type RadixTreeAnswer, type RadixTreeOperation, RANKS, spread } from './dynamoRadixTreeScenario.ts';

/** What `recordDynamoRadixTree.ts` writes. */
export interface RadixTreeRecording {
  /** Version of `ai-dynamo-runtime`. */
  dynamo: string;
  seed: number;
  scenarios: { scenario: RadixTreeOperation[]; answers: RadixTreeAnswer[] }[];
}

const BLOCK_NOT_FOUND = 'Failed to find block';
const REFUSED: Record<StoreStatus, string> = { ok: '', orphan: 'Failed to find parent block', 'self-parent': 'Invalid block sequence' };

/** What differs between our answers and RadixTree's, in words. */
export function compareAnswers(scenario: RadixTreeOperation[], ours: RadixTreeAnswer[], theirs: RadixTreeAnswer[]): string[] {
  return scenario.flatMap((operation, at) => {
    const [our, their] = [JSON.stringify(ours[at]), JSON.stringify(theirs[at])];
    if (our === their) return [];
    // Blocks that RadixTree has forgotten are not there for it to remove.
    if (operation[0] === 'r' && operation[4] && theirs[at] === BLOCK_NOT_FOUND) return [];
    return [`operation ${at} ${JSON.stringify(operation)}: ours ${our}, Dynamo's ${their}`];
  });
}

/** What our index answers to a scenario, in RadixTree's form. Ranks are slots. */
export function replayScenario(index: PrefixIndex, scenario: RadixTreeOperation[]): RadixTreeAnswer[] {
  return scenario.map((operation) => {
    switch (operation[0]) {
      case 's': {
        const [, worker, rank, parent, blocks] = operation;
        const engine = blocks.map(([hash]) => spread(hash));
        const local = blocks.map(([, hash]) => spread(hash));
        return REFUSED[index.store(slotOf(worker, rank), parent === null ? undefined : spread(parent), engine, local)];
      }
      case 'r': {
        const [, worker, rank, engines] = operation;
        return index.remove(slotOf(worker, rank), engines.map(spread)) === 0 ? '' : BLOCK_NOT_FOUND;
      }
      case 'c':
        index.clear(slotOf(operation[1], operation[2]));
        return '';
      case 'x':
        for (const [worker, rank] of RANKS) if (worker === operation[1]) index.clear(slotOf(worker, rank));
        return '';
      case 'f': {
        const overlaps = new Uint32Array(RANKS.length);
        index.findMatches(sequenceHashes(operation[1].map(spread)), overlaps);
        return RANKS.flatMap(([worker, rank], slot): [number, number, number][] => (overlaps[slot]! > 0 ? [[worker, rank, overlaps[slot]!]] : []));
      }
    }
  });
}

function slotOf(worker: number, rank: number): number {
  return RANKS.findIndex(([ofWorker, ofRank]) => ofWorker === worker && ofRank === rank);
}
