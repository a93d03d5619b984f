import type { RouteRequest } from './kvRouterOptions.ts';

/** `getRandomValues` fills at most 65,536 bytes. */
const chunk = 8_192;

/**
 * The block hashes under which a request counts as load (Dynamo's `track_active_blocks`, `assume_kv_reuse`): its own; none where its pool keeps no
 * blocks for decoding; random ones where it must not be taken for sharing blocks with others.
 */
export function trackedSequence(
  sequence: BigUint64Array,
  { trackActiveBlocks = true, assumeKvReuse = true }: Pick<RouteRequest, 'trackActiveBlocks' | 'assumeKvReuse'>,
): BigUint64Array {
  if (!trackActiveBlocks) return new BigUint64Array(0);
  if (assumeKvReuse) return sequence;
  const random = new BigUint64Array(sequence.length);
  for (let i = 0; i < random.length; i += chunk) crypto.getRandomValues(random.subarray(i, i + chunk));
  return random;
}
