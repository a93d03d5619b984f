import type { PromptAccount } from '../protocol/index.ts';
import type { Sequence } from './sequence.ts';

/** How a prompt was computed, when its first token is out. */
export function promptAccount(sequence: Sequence, blockTokens: number): PromptAccount {
  const cached = sequence.firstCachedTokens ?? 0;
  const onHost = sequence.firstHostTokens ?? 0;
  const transferred = sequence.transferredTokens;
  const startedAt = sequence.startedAt!;
  return {
    prompt_tokens: sequence.promptTokens,
    cached_tokens: cached,
    ...(sequence.transfer === undefined ? {} : { transferred_tokens: transferred }),
    ...(onHost > 0 && { host_cached_tokens: onHost }),
    computed_tokens: sequence.promptTokens - cached - transferred,
    cached_blocks: cached / blockTokens,
    queue_us: Math.max(0, Math.round((startedAt - sequence.arrivedAt) * 1000) - (sequence.transfer?.transfer_us ?? 0)),
    prefill_us: Math.round((performance.now() - startedAt) * 1000),
  };
}
