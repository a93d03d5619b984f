import type { DisaggregatedParams, EngineOutput } from '../protocol/index.ts';
import { EngineError } from './engineError.ts';
import type { HeldBlocks } from './heldBlocks.ts';
import type { KvConnector } from './kvConnector.ts';
import type { Sequence } from './sequence.ts';

/** Keeps the blocks of all but a computed prompt's last token for the worker that goes on from it. Throws EngineError KV_TRANSFER_FAILED. */
export function offerPrompt(connector: KvConnector, held: HeldBlocks, sequence: Sequence, blockTokens: number): DisaggregatedParams {
  const tokens = sequence.promptTokens - 1;
  const blocks = sequence.blockTable.slice(0, Math.ceil(tokens / blockTokens));
  const release = held.hold(blocks);
  try {
    return connector.requestFinished(sequence.request, { blocks, tokens, release });
  } catch (cause) {
    release();
    throw new EngineError('KV_TRANSFER_FAILED', `the KV blocks cannot be offered: ${(cause as Error).message}`, { cause });
  }
}

/** Keeps the full blocks so far of a prompt that is still being computed, where a decode worker shall read them by now, and says so. */
export function offerEarly(connector: KvConnector | undefined, held: HeldBlocks, sequence: Sequence, blockTokens: number): EngineOutput | undefined {
  const { request, computedTokens, blockTable } = sequence;
  const full = Math.floor(computedTokens / blockTokens);
  if (full === 0 || request.kv_transfer_params?.do_remote_decode !== true || connector?.wantsEarly(request) !== true) return undefined;
  const blocks = blockTable.slice(0, full);
  const release = held.hold(blocks);
  try {
    return { token_ids: [], disaggregated_params: connector.offerEarly(request, { blocks, tokens: full * blockTokens, release }) };
  } catch {
    release(); // they are offered again with the next chunk, or with all of the prompt
    return undefined;
  }
}
