import type { Sequence } from './sequence.ts';

/**
 * Books blocks that were read for this request while its prompt was being computed as transferred: its admission found them in the prefix cache. What has
 * been evicted since was read again, and counts once.
 */
export function accountOverlap(sequence: Sequence, blockTokens: number): void {
  const overlapped = sequence.request.prefill_result?.overlapped;
  const { transfer, firstCachedTokens: cachedTokens } = sequence;
  if (overlapped === undefined || transfer === undefined || cachedTokens === undefined) return;
  const { first_block, reads, transport, transfer_us, settle_us } = overlapped;
  const blocks = Math.max(0, Math.min(overlapped.blocks, cachedTokens / blockTokens - first_block));
  if (blocks === 0) return;
  const tokens = blocks * blockTokens;
  const bytes = blocks * transfer.block_bytes;
  sequence.firstCachedTokens = cachedTokens - tokens;
  sequence.transferredTokens += tokens;
  sequence.transfer = {
    ...transfer,
    transport: transfer.blocks === 0 ? transport : transfer.transport,
    blocks: transfer.blocks + blocks,
    bytes: transfer.bytes + bytes,
    tokens: transfer.tokens + tokens,
    overlapped: { blocks, bytes, tokens, reads, transfer_us, settle_us },
  };
}
