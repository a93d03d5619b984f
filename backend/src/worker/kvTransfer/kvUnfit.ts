import type { KvCompatibility, KvTransferParams } from '../../protocol/index.ts';
import { kvIncompatibility } from './kvCompatibility.ts';
import { promptDigest } from './promptDigest.ts';

/** In words, why a prompt cannot go on from what a prefill worker offers; undefined where it can. Looked at before anything moves. */
export function kvUnfit(ours: KvCompatibility, params: KvTransferParams, prompt: readonly number[]): string | undefined {
  const { remote_num_tokens: tokens, remote_block_ids: blocks, compatibility, grant } = params;
  if (tokens === undefined || blocks === undefined || compatibility === undefined)
    return "the prefill worker's kv_transfer_params lack remote_num_tokens, remote_block_ids or compatibility";
  const differs = kvIncompatibility(ours, compatibility);
  if (differs !== undefined) return differs;
  if (tokens >= prompt.length) return `the prefill worker computed ${tokens} tokens, more than the prompt's ${prompt.length} less one`;
  if (blocks.length !== Math.ceil(tokens / ours.block_size)) return `the prefill worker offers ${blocks.length} blocks for ${tokens} tokens`;
  const named = (grant as { blocks?: unknown } | null | undefined)?.blocks;
  const granted: unknown[] = Array.isArray(named) ? named : [];
  if (granted.length !== blocks.length || granted.some((block, i) => block !== blocks[i]))
    return 'the grant is not about the blocks that remote_block_ids names';
  if (params.prompt_digest !== promptDigest(prompt, tokens)) return "the blocks offered hold another prompt's tokens";
  return undefined;
}
