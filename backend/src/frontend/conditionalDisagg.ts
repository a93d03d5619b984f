import type { ConditionalDecision } from '../protocol/index.ts';

export const conditionalPolicies = ['always_remote', 'isl_bounding', 'prefill_load', 'isl_or_load'] as const satisfies readonly ConditionalDecision['policy'][];

/** When a prompt stays with the decode worker although there are prefill workers: Dynamo's conditional disaggregation. Its names. */
export interface ConditionalDisagg {
  /**
   * `isl_bounding`: short or mostly cached prompts stay. `prefill_load`: prompts stay while every prefill worker has too many before them.
   * `isl_or_load`: either reason is enough. `always_remote`: none stays.
   */
  policy: ConditionalDecision['policy'];
  /** Tokens that the decode worker has not cached: fewer than this, and… */
  max_local_prefill_length: number;
  /** …less than this share of the prompt. 1 is no bound (to Dynamo it is one): then short prompts stay though nothing of them is cached. */
  max_local_prefill_ratio: number;
  /** Prompt tokens before this one on the least busy prefill worker: more than this count as load. */
  max_prefill_queue_tokens: number;
}

export const conditionalDisaggDefaults: Omit<ConditionalDisagg, 'policy'> = {
  max_local_prefill_length: 2048,
  max_local_prefill_ratio: 0.7,
  // One full batch of vLLM's default size.
  max_prefill_queue_tokens: 8192,
};

export interface PromptSituation {
  islTokens: number;
  decodeCachedTokens: number;
  prefillQueueTokens: number;
}

/** Prefill worker or decode worker, with every term of why. Bounds are exact: a value equal to its bound goes to a prefill worker. */
export function decidePrefillPlace(config: ConditionalDisagg, { islTokens, decodeCachedTokens, prefillQueueTokens }: PromptSituation): ConditionalDecision {
  const { policy, max_local_prefill_length: length, max_local_prefill_ratio: ratio, max_prefill_queue_tokens: limit } = config;
  const effective = Math.max(islTokens - decodeCachedTokens, 0);
  const share = effective / islTokens;
  const short = effective < length && (ratio >= 1 || share < ratio);
  const loaded = prefillQueueTokens > limit;
  const isl = `${effective} of ${islTokens} tokens are to be computed (${(share * 100).toFixed(1)} %; local below ${length} tokens${ratio >= 1 ? '' : ` and ${ratio * 100} %`})`;
  const load = `${prefillQueueTokens} tokens are before it on the least busy prefill worker (local above ${limit})`;
  const looksAtIsl = policy === 'isl_bounding' || policy === 'isl_or_load';
  const looksAtLoad = policy === 'prefill_load' || policy === 'isl_or_load';
  // One token is always computed by the decode worker: there would be nothing to read.
  const remote = islTokens > 1 && !(looksAtIsl && short) && !(looksAtLoad && loaded);
  const terms = [looksAtIsl ? isl : undefined, looksAtLoad ? load : undefined].filter((term) => term !== undefined).join('; ');
  return {
    policy,
    remote,
    isl_tokens: islTokens,
    decode_cached_tokens: decodeCachedTokens,
    effective_isl_tokens: effective,
    max_local_prefill_length: length,
    max_local_prefill_ratio: ratio,
    prefill_queue_tokens: prefillQueueTokens,
    max_prefill_queue_tokens: limit,
    reason: islTokens <= 1 ? 'a prompt of one token has no KV blocks to read' : terms === '' ? 'policy always_remote' : `${policy}: ${terms}`,
  };
}
