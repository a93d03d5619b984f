import type { BlockManager } from './blockManager.ts';
import type { Sequence } from './sequence.ts';

/** Puts the blocks that a sequence has filled since the last time into the prefix cache. */
export function storeFullBlocks(blocks: BlockManager, sequence: Sequence): void {
  const full = Math.floor(sequence.computedTokens / blocks.blockTokens);
  if (full <= sequence.storedBlocks) return;
  const known = sequence.identities.length;
  if (full > known) {
    const tokens = sequence.slice(known * blocks.blockTokens, full * blocks.blockTokens);
    sequence.identities.push(...blocks.identify(tokens, sequence.identities.at(-1)));
  }
  blocks.store(sequence.blockTable, sequence.storedBlocks, sequence.identities.slice(sequence.storedBlocks, full));
  sequence.storedBlocks = full;
}
