import type { RouterWeights } from '../protocol/index.ts';
import { RouterError } from './routerError.ts';

/**
 * Dynamo's knobs (kv_router_args.py), under its names.
 *
 * `overlap_score_weight` is the 0.8 formula's only weight. In the linear formula it is the old name of
 * `prefill_load_scale`, and 0 also switches the overlap credit off, as in Dynamo.
 */
export const DEFAULT_WEIGHTS = {
  overlap_score_weight: 1,
  temperature: 0,
  overlap_score_credit: 1,
  overlap_score_credit_decay: 0,
  prefill_load_scale: 1,
  host_cache_hit_weight: 0.75,
  disk_cache_hit_weight: 0.25,
  decode_active_request_weight: 0,
} as const satisfies RouterWeights;

export type WeightName = keyof typeof DEFAULT_WEIGHTS;
export type ResolvedWeights = RouterWeights & Record<WeightName, number>;

/** Fills in `base`, applies the legacy alias and refuses what is no finite non-negative number. Throws `RouterError` INVALID_ROUTER_CONFIG. */
export function resolveWeights(overrides: Partial<RouterWeights> = {}, base: ResolvedWeights = DEFAULT_WEIGHTS): ResolvedWeights {
  const weights: ResolvedWeights = { ...base };
  for (const [name, value] of Object.entries(overrides)) {
    if (value === undefined) continue;
    if (!(name in DEFAULT_WEIGHTS)) throw invalid(`Unknown router weight \`${name}\`; known: ${Object.keys(DEFAULT_WEIGHTS).join(', ')}`);
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
      throw invalid(`Expected router weight \`${name}\` to be a finite number of at least 0, got ${String(value)}`);
    }
    weights[name as WeightName] = value;
  }
  if (overrides.overlap_score_weight !== undefined) {
    weights.prefill_load_scale = overrides.overlap_score_weight;
    if (overrides.overlap_score_weight === 0) weights.overlap_score_credit = 0;
  }
  return weights;
}

const invalid = (message: string): RouterError => new RouterError('INVALID_ROUTER_CONFIG', message);
