import type { KvCacheShape } from '../../engine/index.ts';
import type { KvCompatibility } from '../../protocol/index.ts';

/** What another worker must have in common with this one. */
export function kvCompatibility(shape: KvCacheShape): KvCompatibility {
  return {
    model: shape.fingerprint,
    dtype: 'float16',
    block_size: shape.blockTokens,
    block_bytes: shape.blockBytes,
    layout: 'block-layer-keys-transposed',
    tp_size: 1,
  };
}

/** Told first: a difference in these explains one in those after them. */
const order = ['block_size', 'dtype', 'layout', 'tp_size', 'block_bytes', 'model'] as const;

/** In words, with both values, why blocks of `theirs` cannot be read here; undefined where they can. */
export function kvIncompatibility(ours: KvCompatibility, theirs: KvCompatibility): string | undefined {
  const differences = order.filter((field) => ours[field] !== theirs[field]).map((field) => `${field} is ${theirs[field]} there and ${ours[field]} here`);
  return differences.length === 0 ? undefined : `the prefill worker's KV blocks do not fit this worker: ${differences.join('; ')}`;
}
