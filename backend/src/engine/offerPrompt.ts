import type { DisaggregatedParams } from '../protocol/index.ts';
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
