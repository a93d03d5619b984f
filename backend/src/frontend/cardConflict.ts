import type { ModelDeploymentCard } from '../protocol/index.ts';

/**
 * Why a worker cannot serve a model together with those that do already, with both values; undefined when it can.
 * KV blocks of different size, or of different weights, must never count as the same, nor be read as the same.
 */
export function cardConflict(card: ModelDeploymentCard, known: ModelDeploymentCard | undefined, wantedBlockSize: number | undefined): string | undefined {
  if (wantedBlockSize !== undefined && card.kv_cache_block_size !== wantedBlockSize)
    return `its KV blocks hold ${card.kv_cache_block_size} tokens, --kv-cache-block-size is ${wantedBlockSize}`;
  if (known === undefined) return undefined;
  if (known.kv_cache_block_size !== card.kv_cache_block_size)
    return `its KV blocks hold ${card.kv_cache_block_size} tokens, those of the model's other workers ${known.kv_cache_block_size}`;
  if (known.engine.name !== card.engine.name) return `it computes with ${card.engine.name}, the model's other workers with ${known.engine.name}`;
  if (known.engine.fingerprint !== card.engine.fingerprint)
    return `its model has the fingerprint ${card.engine.fingerprint}, that of the model's other workers ${known.engine.fingerprint}`;
  return undefined;
}
